"""The pages of measures: who sees them, that their numbers are the rows', and that a graph is never blank."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver, reverse
from django_q.models import Schedule

from queues.desk import monitor_urls
from queues.engine import heartbeats, limiter
from queues.engine.registry import Limit
from queues.engine.states import Status
from queues.monitor import depth, rollup, schedules
from queues.monitor.models import Incident, QueueMinute, SloHour
from tests.queues.desk.people import client_of, mail

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ADDRESSES = {
    "levels": "/admin/monitor/levels/",
    "objective": "/admin/monitor/levels/email.accepted/",
    "items": "/admin/monitor/levels/email.accepted/items/",
    "throughput": "/admin/monitor/throughput/",
    "workers": "/admin/monitor/workers/",
    "limits": "/admin/monitor/limits/",
}


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(rollup, "FIRST_LOOK", timedelta(hours=2))
    with time_machine.travel(NOW, tick=False):
        yield


def text(client: Any, address: str) -> str:
    """What the page says."""
    response = client.get(address, follow=True)
    assert response.status_code == 200, address
    words = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(words))


def history() -> list[Any]:
    """Ten mails sent, two dead, in the last hour; counted."""
    for number in range(10):
        due = NOW - (20 + number) * MINUTE
        mail(Status.SUCCEEDED, created_at=due, succeeded_at=due + timedelta(seconds=2))
    dead = [mail(created_at=NOW - (30 + number) * MINUTE, dead_at=NOW - 5 * MINUTE) for number in range(2)]
    rollup.run(now=NOW, only=[f"email.{name}" for name in ("accepted", "quick", "due", "runs", "retries")])
    return dead


@pytest.mark.parametrize("who", ["anonymous", "customer", "observer", "operator", "administrator"])
def test_who_may_look(who: str):
    assert {pattern.name for pattern in monitor_urls.urlpatterns} == set(ADDRESSES), "a new page needs its entry"
    client = client_of(who)
    for name, address in ADDRESSES.items():
        got = client.get(address)
        if who in ("anonymous", "customer"):
            assert got.status_code == 302, name
            assert got["Location"].startswith("/admin/login/"), name
        else:
            assert got.status_code in (200, 302), name
            assert not got.get("Location", "").startswith("/admin/login/")
        assert client.post(address).status_code in (302, 403, 405), name


def test_staff_without_the_permission_is_refused():
    user = User.objects.create_user("clerk", is_staff=True)
    client = client_of("clerk")
    assert {client.get(address).status_code for address in ADDRESSES.values()} == {403}
    user.user_permissions.add(Permission.objects.get(codename="watch_slominute"))
    assert client.get(ADDRESSES["levels"]).status_code == 200
    assert client.get(ADDRESSES["limits"]).status_code == 403, "its keys name people"
    assert "may not look at any queue" in text(client, ADDRESSES["throughput"])


def test_the_numbers_are_the_rows_and_the_items_are_one_click_away():
    dead = history()
    client = client_of("operator")
    said = text(client, ADDRESSES["levels"])
    assert "E-mail accepted within 5 minutes" in said
    assert "83.33 % missed" in said
    assert "2 bad of 12" in said
    page = text(client, ADDRESSES["objective"] + "?range=1h")
    assert "83.33 % good: missed" in page
    assert "p50 2.0 s" in page
    for item in dead:
        assert f"e-mail {item.pk}" in page
    answer = client.get(ADDRESSES["items"] + "?range=1h")
    assert sorted(map(int, re.findall(r"id=(\d+)", answer["Location"]))) == sorted(item.pk for item in dead)
    listed = client.get(answer["Location"]).content.decode()
    assert all(f"/admin/queues/emailmessage/{item.pk}/change/" in listed for item in dead)
    assert client.get(ADDRESSES["items"].replace("email.accepted", "checkout.fast")).status_code == 302


def test_nothing_is_blank_where_nothing_happened():
    client = client_of("observer")
    levels = text(client, ADDRESSES["levels"])
    assert "No traffic" in levels
    assert "Nothing has been counted yet" in levels
    assert "Incidents of the last 30 days None." in levels
    page = text(client, ADDRESSES["objective"])
    assert page.count("Nothing was due") == 3
    assert "Nobody looked in" in text(client, ADDRESSES["throughput"])
    assert "No worker has been heard of yet" in text(client, ADDRESSES["workers"])
    assert "Nobody used it" in text(client, ADDRESSES["limits"])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("range=7d", "In the last 7 days"),
        ("from=2026-02-20T08:00&to=2026-02-20T10:00", "In 20 Feb 08:00 to 20 Feb 10:00 UTC"),
        ("range=99y", "There is no range"),
        ("range=%00%ff", "There is no range"),
        ("from=yesterday&to=now", "Give both moments"),
        ("from=2026-02-20T08:00", "Give both moments"),
        ("from=2026-02-20T10:00&to=2026-02-20T08:00", "not before the end"),
        ("from=2024-02-20T08:00&to=2026-02-20T08:00", "Only the last 30 days"),
        ("from=2026-02-28T00:00:00%2B99:00&to=x", "Give both moments"),
        ("from=9999-12-31T23:59&to=9999-12-31T23:59", "not before the end"),
    ],
)
def test_any_range_of_the_last_thirty_days(query: str, words: str):
    client = client_of("observer")
    assert words in text(client, f"{ADDRESSES['objective']}?{query}")
    assert client.get(f"{ADDRESSES['throughput']}?{query}").status_code == 200


def test_an_unknown_objective_is_not_found():
    client = client_of("observer")
    for key in ("nope", "email.accepted' OR 1=1", "%00", "..%2f"):
        assert client.get(f"/admin/monitor/levels/{key}/").status_code == 404


def test_pages_cost_the_same_on_many_rows():
    client = client_of("operator")
    SloHour.objects.bulk_create(
        SloHour(objective=key, hour=NOW.replace(minute=0, second=0) - timedelta(hours=back), good=90, bad=2)
        for key in ("email.accepted", "webhook.handled", "push.accepted")
        for back in range(700)
    )
    for name in ("levels", "objective", "throughput", "workers", "limits"):
        with CaptureQueriesContext(connection) as queries:
            client.get(ADDRESSES[name] + "?range=30d")
        assert len(queries) <= 75, (name, len(queries))
    assert "64.00" not in text(client, ADDRESSES["objective"] + "?range=30d")


def test_throughput_tells_flow_depth_and_retries():
    history()
    depth.sample(now=NOW)
    assert depth.sample(now=NOW) == len({row.queue for row in QueueMinute.objects.all()})
    row = QueueMinute.objects.get(queue="email")
    assert (row.dead, row.waiting) == (2, 0)
    said = text(client_of("operator"), ADDRESSES["throughput"] + "?range=1h")
    assert "came due 12" in said
    assert "dead letters 2" in said
    assert "What came and what was done: e-mails" in said


def test_workers_and_schedules():
    heartbeats.beat(
        name="supervisor:box",
        now=NOW,
        cluster=4,
        memory_mb=512.5,
        processes=[{"pid": 7, "memory_mb": 80.1, "task": "drain email", "seconds": 12}, {"pid": 8, "memory_mb": 60.0}],
    )
    heartbeats.beat(name="cluster:gone", now=NOW - timedelta(hours=1))
    held = mail(Status.PROCESSING, leased_by="box:1")
    line = Schedule.objects.get(name="redrive: measure")
    Schedule.objects.update(next_run=NOW + MINUTE)
    Schedule.objects.filter(pk=line.pk).update(next_run=NOW - 10 * MINUTE)
    for minute in (30, 29, 20):
        begun = NOW - minute * MINUTE
        schedules.ran(
            name=line.name, started_at=begun, stopped_at=begun + timedelta(seconds=3), succeeded=True, words=""
        )
    said = text(client_of("operator"), ADDRESSES["workers"])
    assert "Supervisor on box, 512 MB" in said
    assert "drain email, for 12 s" in said
    assert "Silent Workers on gone" in said
    assert "held by box:1" in said
    assert held.pk
    assert re.search(r"measure every minute .*?Overdue .*?20 min ago .*?3\.0 s .*?10 min ago .*?7 of 3 runs", said)
    assert "E-mails queues_emailmessage" in said


def test_limits_show_what_the_limiter_decides(settings: Any):
    settings.RATE_LIMITS = {"email": (2, 60), "email.recipient": (10, 60)}
    wanted = [Limit("email"), Limit("email.recipient", "a@example.com")]
    client = client_of("operator")
    for _ in range(2):
        assert limiter.take(wanted, at=NOW).granted
    refused = limiter.take(wanted, at=NOW)
    said = text(client, ADDRESSES["limits"])
    assert re.search(r"email Full 2 in any 1 min email 2 of 2 next in (59|60|61) s|next in 1 min", said)
    assert refused.until is not None
    assert "email.recipient:a@example.com 2 of 10" in said
    with time_machine.travel(refused.until, tick=False):
        assert "Full" not in text(client, ADDRESSES["limits"])


class TestStatusPage:
    """For customers' eyes."""

    @pytest.fixture(autouse=True)
    def _fresh(self, settings: Any) -> None:
        from django.core.cache import cache

        cache.clear()
        settings.STATUS_PAGE = True

    def test_it_is_not_there_unless_switched_on(self, client: Any, settings: Any):
        settings.STATUS_PAGE = False
        assert client.get("/status/").status_code == 404

    def test_it_says_plainly_how_things_are_and_nothing_private(self, client: Any):
        hour = NOW.replace(minute=0, second=0)
        for key, good, bad in (("email.accepted", 60, 40), ("checkout.created", 1, 9), ("push.accepted", 100, 2)):
            SloHour.objects.create(objective=key, hour=hour - timedelta(hours=1), good=good, bad=bad)
        SloHour.objects.create(objective="email.accepted", hour=hour - timedelta(days=3), good=10, bad=90)
        mail(recipient="anna.secret@example.com", subject="private matter")
        Incident.objects.create(
            capability="Analytics", title="Figures were late", words="We are looking.", started_at=hour, updated_at=hour
        )
        Incident.objects.create(
            capability="E-mail", title="Not for all", published=False, started_at=hour, updated_at=hour
        )
        said = text(client, "/status/")
        assert "Some things do not work" in said
        assert "E-mail Degraded" in said
        assert "Checkout Not working" in said
        assert "Push notifications Working" in said
        assert "Analytics Degraded" in said, "an open incident says more than figures"
        assert "26 February 2026: mostly not working" in said
        assert "Figures were late" in said
        assert "Not for all" not in said
        for private in ("secret", "private matter", "60 ", "100 "):
            assert private not in said.replace("2026", ""), private
        assert "Repair" not in said

    def test_anybody_may_keep_it(self, client: Any):
        client.force_login(User.objects.create_user("anna"))
        answer = client.get("/status/")
        assert answer["Cache-Control"] == "public, max-age=30"
        assert "anna" not in answer.content.decode()
        assert "Set-Cookie" not in answer
        with CaptureQueriesContext(connection) as queries:
            client.get("/status/")
        assert [each for each in queries if "slo" in each["sql"]] == [], "a crowd costs one look"


def test_the_pages_are_in_the_navigation():
    said = client_of("observer").get("/admin/").content.decode()
    for name in ("levels", "throughput", "workers", "limits"):
        assert f'href="{reverse(f"monitor:{name}")}"' in said
    assert get_resolver().resolve("/admin/monitor/levels/").url_name == "levels"
