"""Analytics at the desk: who gets what, by GET and by POST; campaigns, service levels and the drill."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import TestCase
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from analytics import drill, header, mirror, permissions, stats
from analytics.models import Campaign, Drill, QueryStat, RefreshState
from analytics.panels.page import ALL
from queues.desk.ledger import LedgerEntry, verify
from tests.analytics.world import campaign, event, tell
from tests.queues.desk.people import client_of, person

pytestmark = pytest.mark.django_db

ADMINISTRATORS = frozenset({"administrator"})
OPERATORS = ADMINISTRATORS | {"operator"}
STAFF = OPERATORS | {"observer"}
PEOPLE = ("anonymous", "customer", *sorted(STAFF))
MODELS = ("campaign", "querystat", "refreshstate", "drill")

PAGES = {
    **{f"analytics_{model}_{page}": STAFF for model in MODELS for page in ("changelist", "change", "history")},
    "analytics_drill_begin": OPERATORS,
    "analytics_drill_end": OPERATORS,
    "analytics_campaign_add": ADMINISTRATORS,
    "analytics_campaign_delete": ADMINISTRATORS,
}
CLOSED = re.compile(r"analytics_(querystat|refreshstate|drill)_(add|delete)")


def names() -> Iterator[str]:
    """The names of the app's addresses under /admin/."""

    def walk(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns)
            elif pattern.name and pattern.name.startswith("analytics_"):
                yield pattern.name

    yield from sorted(set(walk(admin.site.get_urls())))


@pytest.fixture
def addresses() -> dict[str, str]:
    """One real address for each name."""
    now = timezone.now()
    rows = {
        "campaign": campaign().pk,
        "querystat": QueryStat.objects.create(minute=now, panel="days", outcome="ok", count=1).pk,
        "refreshstate": RefreshState.objects.create(scope="rollups", as_of=now).pk,
        "drill": Drill.objects.create(panel="days", kind="bug", until=now).pk,
    }
    found = {
        "analytics_drill_begin": "/admin/analytics/drill/begin/",
        "analytics_drill_end": "/admin/analytics/drill/end/",
    }
    for model, pk in rows.items():
        found[f"analytics_{model}_changelist"] = f"/admin/analytics/{model}/"
        found[f"analytics_{model}_add"] = f"/admin/analytics/{model}/add/"
        for page in ("change", "delete", "history"):
            found[f"analytics_{model}_{page}"] = f"/admin/analytics/{model}/{pk}/{page}/"
    return found


@pytest.mark.parametrize("who", PEOPLE)
def test_who_gets_what(addresses: dict[str, str], who: str):
    client = client_of(who)
    for name in names():
        answer = client.get(addresses[name])
        if CLOSED.match(name):
            assert answer.status_code in (302, 403, 404), name
            continue
        expected = 200 if who in PAGES[name] else 302 if who in ("anonymous", "customer") else 403
        assert answer.status_code == expected, (name, who)


def test_a_campaign_is_made_with_its_ledger_entry():
    client, owner = client_of("administrator"), person("customer")
    form = {
        "name": "Spring",
        "owner": owner.pk,
        "currency": "eur",
        "time_zone": "Europe/Berlin",
        "starts_on": "2026-03-01",
        "creatives-TOTAL_FORMS": "1",
        "creatives-INITIAL_FORMS": "0",
        "creatives-0-key": "a",
        "creatives-0-name": "Poster",
    }
    answer = client.post("/admin/analytics/campaign/add/", form)
    assert answer.status_code == 302, answer.content[:3000]
    made = Campaign.objects.get()
    assert (made.owner, made.starts_on, made.creatives.get().key) == (owner, date(2026, 3, 1), "a")
    assert LedgerEntry.objects.get().act == "add_campaign"
    assert verify().whole
    bad = client.post("/admin/analytics/campaign/add/", form | {"time_zone": "Mars/Base"})
    assert "Not a time zone" in bad.text


def test_money_and_zone_of_a_campaign_with_events_are_fixed():
    of, now = campaign(), timezone.now()
    client = client_of("administrator")
    address = f"/admin/analytics/campaign/{of.pk}/change/"
    assert 'name="time_zone"' in client.get(address).text
    tell(of, event(of, at=now), now=now)
    page = client.get(address).text
    assert 'name="time_zone"' not in page
    assert 'name="currency"' not in page
    assert client.get(f"/admin/analytics/campaign/{of.pk}/delete/").status_code == 403


def test_a_campaign_without_events_can_go_and_its_copies_with_it(settings: Any, tmp_path: Path):
    settings.VAR_DIR = tmp_path
    of = campaign()
    mirror.write_header(header.of(of), allowed=[], now=timezone.now())
    with TestCase.captureOnCommitCallbacks(execute=True):
        answer = client_of("administrator").post(f"/admin/analytics/campaign/{of.pk}/delete/", {"post": "yes"})
    assert answer.status_code == 302
    assert Campaign.objects.count() == 0
    assert not (tmp_path / "analytics" / str(of.pk)).exists()
    assert LedgerEntry.objects.get().act == "delete_campaign"


def test_a_drill_begins_and_ends_with_its_reason():
    client = client_of("operator")
    begin = "/admin/analytics/drill/begin/"
    assert client.post(begin, {"panel": "days", "kind": "bug", "reason": ""}).status_code == 400
    assert client.post(begin, {"panel": "nothing", "kind": "bug", "reason": "x"}).status_code == 400
    assert Drill.objects.count() == 0
    assert client.post(begin, {"panel": "days", "kind": "bug", "reason": "rehearsal"}).status_code == 302
    assert drill.active() == {"days": "bug"}
    assert client.post(begin, {"panel": "", "kind": "timeout", "reason": "rehearsal"}).status_code == 302
    assert drill.active() == dict.fromkeys(ALL, "timeout")
    assert client.post("/admin/analytics/drill/end/", {"reason": "done"}).status_code == 302
    assert drill.active() == {}
    assert [entry.act for entry in LedgerEntry.objects.order_by("pk")] == ["begin_drill", "begin_drill", "end_drill"]


def test_an_observer_cannot_drill():
    client = client_of("observer")
    assert client.post("/admin/analytics/drill/begin/", {"kind": "bug", "reason": "x"}).status_code == 403
    assert Drill.objects.count() == 0


def test_the_service_levels_stand_above_the_minutes():
    now = timezone.now()
    for _ in range(9):
        stats.count("days", "ok", now=now, milliseconds=40)
    stats.count("days", "query_timeout", now=now, milliseconds=5000)
    stats.seen("days", "fresh", now=now)
    stats.flush(at_once=True)
    page = client_of("observer").get("/admin/analytics/querystat/").text
    assert "90 % of 10" in page
    assert "at most 50 ms" in page
    assert "100 % of 1 " in page


def test_the_groups_have_their_permissions_and_what_was_taken_stays_taken():
    def names_of(group: str) -> set[str]:
        known: Any = Group.objects.get(name=group).permissions.filter(content_type__app_label="analytics")
        return set(known.values_list("codename", flat=True))

    assert names_of("Event recorder") == {"record_any_event"}
    assert {"view_campaign", "drill_campaign"} <= names_of("Operator")
    assert "drill_campaign" not in names_of("Observer")
    Group.objects.get(name="Event recorder").permissions.clear()
    permissions.ensure(None)
    assert names_of("Event recorder") == set()
