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
    assert len(stub.asked) == 3
    assert str(sweep.coverage(now=timezone.now())) == "60 of 60 events of the last 30 days held"
    assert sweep.coverage(now=timezone.now()).missed == 18


def test_the_second_sweep_reads_only_what_is_new(stub: Stub, handle: DrainAt):
    stub.page_max = 25
    happen(stub, 60, deliver=1)
    sweep.sweep(now=timezone.now())
    stub.asked.clear()
    assert sweep.sweep(now=timezone.now()) == sweep.Found()
    assert [request.query["ending_before"] for request in stub.asked] == [stub.events[-1]["id"]]
    happen(stub, 60, deliver=0.5)
    found = sweep.sweep(now=timezone.now())
    assert (found.listed, found.missing) == (60, 30)
    assert len(stub.asked) == 1 + 3
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
