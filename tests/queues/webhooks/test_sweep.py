"""The sweep: what was never delivered is found in Stripe's list, once; what Stripe never made is asked for."""

from __future__ import annotations

import random
import time
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from queues.webhooks import handlers, stripe_api, sweep, tasks
from queues.webhooks.models import SweepCursor, WebhookEvent
from tests.queues.webhooks.conftest import DrainAt, On
from tests.queues.webhooks.deliveries import post, snapshot, thin
from tests.queues.webhooks.stripe_stub import Stub

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("secret")]


def happen(stub: Stub, count: int, *, deliver: float, kind: str = "thing.made") -> list[dict[str, Any]]:
    """So many things happen at Stripe; a share of them is delivered to us."""
    start = int(time.time()) - 1000
    made = [snapshot(kind, created=start + number) for number in range(count)]
    for number, event in enumerate(made):
        event["data"]["object"]["id"] = f"th_{number}"
    stub.events += made
    for event in random.Random(7).sample(made, int(count * deliver)):
        assert post(event).status_code == 200
    return made


def test_a_third_was_dropped_and_all_of_it_is_recovered_and_handled_once(stub: Stub, on: On, handle: DrainAt):
    ran: list[str] = []

    @on("thing.made", name="count")
    def count(event: handlers.Event, fetched: Any) -> None:
        ran.append(event.id)

    stub.page_max = 25
    made = happen(stub, 60, deliver=0.7)
    handle()
    found = sweep.sweep(now=timezone.now())
    assert (found.listed, found.missing) == (60, 18)
    handle()
    assert sorted(ran) == sorted(event["id"] for event in made)
    assert WebhookEvent.objects.filter(source="swept").count() == 18
    assert len(stub.reads()) == 3
    assert str(sweep.coverage(now=timezone.now())) == "60 of 60 events of the last 30 days held"
    assert sweep.coverage(now=timezone.now()).missed == 18


def test_the_second_sweep_reads_only_what_is_new(stub: Stub, handle: DrainAt):
    stub.page_max = 25
    happen(stub, 60, deliver=1)
    sweep.sweep(now=timezone.now())
    stub.asked.clear()
    assert sweep.sweep(now=timezone.now()) == sweep.Found()
    assert [request.query["ending_before"] for request in stub.reads()] == [stub.events[-1]["id"]]
    happen(stub, 60, deliver=0.5)
    found = sweep.sweep(now=timezone.now())
    assert (found.listed, found.missing) == (60, 30)
    assert len(stub.reads()) == 1 + 3
    assert SweepCursor.objects.get().event_id == stub.events[-1]["id"]
    assert str(sweep.coverage(now=timezone.now())) == "120 of 120 events of the last 30 days held"


def test_a_sweep_that_dies_on_its_way_is_carried_on(stub: Stub):
    stub.page_max = 25
    happen(stub, 10, deliver=1)
    sweep.sweep(now=timezone.now())
    happen(stub, 60, deliver=0)
    real = stub.answer
    pages = iter([True, True, False, False])

    def dies(request: Any) -> Any:
        return real(request) if next(pages, True) else (503, {}, {"error": {"message": "no"}})

    stub.answer = dies  # type: ignore[method-assign]
    with pytest.raises(stripe_api.Unavailable):
        sweep.sweep(now=timezone.now())
    assert WebhookEvent.objects.count() == 60
    stub.answer = real  # type: ignore[method-assign]
    sweep.sweep(now=timezone.now())
    assert WebhookEvent.objects.count() == 70
    assert str(sweep.coverage(now=timezone.now())) == "70 of 70 events of the last 30 days held"


def test_a_cursor_that_stripe_forgot_begins_anew(stub: Stub):
    happen(stub, 5, deliver=1)
    sweep.sweep(now=timezone.now())
    SweepCursor.objects.update(event_id="evt_long_gone")
    stub.faults["/v1/events"] = [(400, {}, {"error": {"type": "invalid_request_error", "message": "No such event"}})]
    assert sweep.sweep(now=timezone.now()).listed == 5
    assert SweepCursor.objects.get().event_id == stub.events[-1]["id"]
    assert sweep.coverage(now=timezone.now()).listed == 5
    stub.asked.clear()
    sweep.sweep(now=timezone.now() + timedelta(days=31))
    assert "ending_before" not in stub.asked[0].query, "older than Stripe's list"


def test_what_was_buried_is_held(stub: Stub):
    from queues.engine.tombstones import Tombstone

    (event,) = happen(stub, 1, deliver=0)
    Tombstone.objects.create(
        queue="webhook", key=f"stripe:{event['id']}", item_id=1, status="succeeded", buried_at=timezone.now()
    )
    assert sweep.sweep(now=timezone.now()).missing == 0
    assert WebhookEvent.objects.count() == 0


def test_an_event_that_cannot_be_read_is_reported_and_keeps_nothing_from_being_read(stub: Stub):
    happen(stub, 3, deliver=0)
    stub.events[1] = stub.events[1] | {"type": None}
    found = sweep.sweep(now=timezone.now())
    assert (found.listed, found.missing, found.unreadable) == (3, 2, 1)
    assert str(sweep.coverage(now=timezone.now())) == "2 of 3 events of the last 30 days held"


def test_the_command_reports(stub: Stub):
    happen(stub, 10, deliver=0.7)
    out = StringIO()
    call_command("sweep_stripe", stdout=out)
    assert out.getvalue().splitlines() == [
        "3 of 10 events read were missing and are stored now.",
        "10 of 10 events of the last 30 days held.",
    ]


def test_the_command_says_when_stripe_is_away_or_no_key_is_set(stub: Stub, settings: Settings):
    stub.fail("/v1/events", 503)
    with pytest.raises(CommandError, match="Stripe 503"):
        call_command("sweep_stripe")
    settings.STRIPE_API_KEY = ""
    with pytest.raises(CommandError, match="STRIPE_API_KEY is not set"):
        call_command("sweep_stripe")
    assert tasks.sweep_stripe() == {}


def thin_twin(event: dict[str, Any]) -> dict[str, Any]:
    about = event["data"]["object"]
    return thin(f"v1.{event['type']}", about={"id": about["id"], "type": "thing"}, snapshot_event=event["id"])


def moment(*, minutes_ago: float) -> str:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def thin_events(count: int, *, minutes_ago: float = 30) -> list[dict[str, Any]]:
    made = [thin("v2.core.account.updated", about={"id": "acct_1", "type": "v2.core.account"}) for _ in range(count)]
    return [event | {"created": moment(minutes_ago=minutes_ago - number / 100)} for number, event in enumerate(made)]


def test_thin_events_that_were_never_delivered_are_found_in_their_own_list(stub: Stub):
    assert stub.thin is not None
    stub.page_max = 4
    stub.thin += thin_events(10)
    for event in stub.thin[:7]:
        post(event)
    found = sweep.sweep(now=timezone.now())
    assert (found.listed, found.missing, found.unread) == (10, 3, 0)
    assert len(stub.reads("/v2/core/events")) == 3
    stub.thin += thin_events(2, minutes_ago=1)
    late = thin_events(1, minutes_ago=30.05)
    stub.thin[3:3] = late  # listed after the sweep, though it is older than what the sweep saw
    assert (again := sweep.sweep(now=timezone.now())).missing == 3, again
    assert sweep.sweep(now=timezone.now()) == sweep.Found()
    assert str(sweep.coverage(now=timezone.now())) == "13 of 13 events of the last 30 days held"
    assert WebhookEvent.objects.filter(source="swept", thin=True).count() == 6


@pytest.mark.parametrize("held", ["snapshot", "thin"])
def test_who_holds_one_of_two_twins_holds_both(held: str, stub: Stub):
    assert stub.thin is not None
    made = happen(stub, 3, deliver=0)
    stub.thin += [thin_twin(event) | {"created": moment(minutes_ago=9 - place)} for place, event in enumerate(made)]
    for event in made if held == "snapshot" else stub.thin:
        post(event)
    assert sweep.sweep(now=timezone.now()).missing == 0
    assert WebhookEvent.objects.count() == 3
    assert str(sweep.coverage(now=timezone.now())) == "6 of 6 events of the last 30 days held"


def test_of_two_twins_that_were_both_dropped_one_is_stored(stub: Stub):
    assert stub.thin is not None
    made = happen(stub, 3, deliver=0)
    stub.thin += [thin_twin(event) | {"created": moment(minutes_ago=9 - place)} for place, event in enumerate(made)]
    assert sweep.sweep(now=timezone.now()).missing == 3
    assert not WebhookEvent.objects.filter(thin=True).exists()


def test_connected_accounts_are_read_where_it_is_wanted(stub: Stub, settings: Settings):
    happen(stub, 2, deliver=1)
    start = int(time.time()) - 500
    stub.accounts = {f"acct_{n}": [snapshot("thing.made", created=start + n) for _ in range(3)] for n in (1, 2)}
    post(stub.accounts["acct_1"][0] | {"account": "acct_1"})
    assert sweep.sweep(now=timezone.now()).listed == 2
    settings.STRIPE_SWEEP_CONNECTED = True
    found = sweep.sweep(now=timezone.now())
    assert (found.listed, found.missing) == (6, 5)
    assert set(WebhookEvent.objects.filter(source="swept").values_list("account", flat=True)) == {"acct_1", "acct_2"}
    assert SweepCursor.objects.count() == 3
    assert sweep.sweep(now=timezone.now()) == sweep.Found()
    assert str(sweep.coverage(now=timezone.now())) == "8 of 8 events of the last 30 days held"
    del stub.accounts["acct_2"]
    now = timezone.now()
    sweep.sweep(now=now)
    assert set(SweepCursor.objects.values_list("listing", "swept_at")) == {("v1", now), ("v1 acct_1", now)}


def test_a_list_that_is_refused_or_away_keeps_no_other_from_being_read(stub: Stub, settings: Settings):
    settings.STRIPE_SWEEP_CONNECTED = True
    stub.thin = None
    start = int(time.time()) - 500
    stub.accounts = {f"acct_{n}": [snapshot("thing.made", created=start)] for n in (1, 2, 3)}
    ordinary = stub.answer

    def answer(request: Any) -> Any:
        status = {"acct_1": 403, "acct_2": 503}.get(request.headers.get("Stripe-Account"))
        return (status, {}, {"error": {"message": "no"}}) if status else ordinary(request)

    stub.answer = answer  # type: ignore[method-assign]
    with pytest.raises(stripe_api.Unavailable):
        sweep.sweep(now=timezone.now())
    assert set(WebhookEvent.objects.values_list("account", flat=True)) == {"acct_3"}
    stub.answer = ordinary  # type: ignore[method-assign]
    out = StringIO()
    call_command("sweep_stripe", stdout=out)
    assert out.getvalue().splitlines() == [
        "2 of 2 events read were missing and are stored now.",
        "4 lists are not shown to this key; the log names them.",
        "3 of 3 events of the last 30 days held.",
    ]


NOTICE = {"id": "evt_notice", "object": "v2.core.event", "type": "v2.core.health.event_generation_failure.resolved"}


@pytest.mark.parametrize("kind", ["thing.made", "v1.thing.made"])
def test_an_event_that_stripe_failed_to_make_is_made_here(kind: str, stub: Stub, on: On, handle: DrainAt):
    ran: list[tuple[str, Any]] = []

    @on("thing.made", name="see")
    def see(event: handlers.Event, fetched: Any) -> None:
        ran.append((event.type, event.object))

    related = {"id": "th_1", "type": "thing", "url": "/v1/things/th_1"}
    stub.objects["/v2/core/events/evt_notice"] = NOTICE | {
        "data": {"grouping_key": "x", "impact": {"event_type": kind, "related_object": related}}
    }
    stub.objects["/v1/things/th_1"] = {"id": "th_1", "name": "as it is"}
    post(thin(NOTICE["type"], about=None, id="evt_notice"))
    assert handle() == {"ack": 2}
    assert ran == [("thing.made", {"id": "th_1", "name": "as it is"})]
    made = WebhookEvent.objects.get(source="made")
    assert (made.event_id, made.kind, made.object_id) == ("evt_notice.made", "v1.thing.made", "th_1")
    assert post(thin(NOTICE["type"], about=None, id="evt_notice")).json()["repeated"]
    assert handle() == {}


def test_a_notice_without_words_is_a_dead_letter(stub: Stub, handle: DrainAt):
    stub.objects["/v2/core/events/evt_notice"] = NOTICE | {"data": {}}
    post(thin(NOTICE["type"], about=None, id="evt_notice"))
    assert handle() == {"dead_letter": 1}
