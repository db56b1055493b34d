"""Staff replay thousands of events, or redrive and purge the same one: new events first, each act once and recorded."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from queues.desk import operations
from queues.desk.bulk import freeze, run
from queues.desk.bulk.operation import Operation
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.webhooks import handlers
from queues.webhooks.models import WebhookEvent
from tests.queues.desk.people import person
from tests.queues.engine.threads import together
from tests.queues.webhooks.conftest import DrainAt, On
from tests.queues.webhooks.deliveries import post, raw, snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("secret")]

KIND = "thing.made"
MANY = 1000
AHEAD_MAX = 100
"""Replayed events that a new one may find before it: less than half a second's work of one worker."""


def settled_long_ago(count: int, *, now: datetime, name: str = "evt_") -> None:
    """Events that nobody had a handler for."""
    WebhookEvent.objects.bulk_create(
        [
            WebhookEvent(
                idempotency_key=f"stripe:{name}{number}",
                event_id=f"{name}{number}",
                kind=KIND,
                payload=raw(snapshot(KIND, id=f"{name}{number}")),
                occurred_at=now,
                status="cancelled",
                cancelled_at=now,
                last_code="no handler",
            )
            for number in range(count)
        ],
        batch_size=200,
    )


@pytest.fixture
def ran(on: On) -> list[str]:
    """Ids of the events that were handled, in that order."""
    found: list[str] = []

    @on(KIND, name="now.there.is.one")
    def note(event: handlers.Event, fetched: Any) -> None:
        found.append(event.id)

    return found


def begun(actor: Actor, *, now: datetime) -> Operation:
    chosen = Selection(status="cancelled", kind=KIND)
    operation = freeze.prepare(act="replay", queue="webhook", selection=chosen, actor=actor, now=now)
    said: dict[str, Any] = {"reason": "it has a handler now", "pace": 60_000, "canary": False, "now": now}
    run.start(operation_id=operation.pk, actor=actor, **said)
    with pytest.raises(run.NotReady, match="started before"):  # the button pressed twice
        run.start(operation_id=operation.pk, actor=actor, **said)
    return operation


def test_new_events_pass_a_replay_of_thousands_which_can_be_stopped(ran: list[str], handle: DrainAt):
    now, actor = timezone.now(), Actor.of(person("operator"))
    settled_long_ago(MANY, now=now)
    operation = begun(actor, now=now)
    for _ in range(3):
        at = now
        for _ in range(8):  # enough for 400
            following = run.step(operation_id=operation.pk, now=at)
            assert following is not None
            at = following
        ahead = WebhookEvent.objects.filter(status="pending").count()
        assert 0 < ahead <= AHEAD_MAX
        event = snapshot(KIND)
        post(event)
        before = len(ran)
        assert handle(after=timedelta(minutes=1)) == {"ack": ahead + 1}
        assert ran.index(event["id"]) - before <= AHEAD_MAX
        now = at
    run.abort(operation_id=operation.pk, actor=actor, reason="enough", now=now)
    assert run.step(operation_id=operation.pk, now=now) is None
    replayed = WebhookEvent.objects.filter(status="succeeded", event_id__regex=r"^evt_\d{1,3}$").count()
    assert 0 < replayed < MANY
    assert WebhookEvent.objects.filter(status="cancelled").count() == MANY - replayed
    assert max(Counter(ran).values()) == 1
    entries = LedgerEntry.objects.filter(queue="webhook")
    assert {entry.actor_name for entry in entries} == {"operator"}
    assert {"it has a handler now", "enough"} <= {entry.reason for entry in entries}


@pytest.mark.django_db(transaction=True)
def test_of_a_redrive_and_a_purge_at_once_one_wins(ran: list[str], drain: DrainAt):
    now, actor = timezone.now(), Actor.of(person("operator"))
    for number in range(4):
        settled_long_ago(1, now=now, name=f"evt_{number}_")
        WebhookEvent.objects.update(status="dead_letter", dead_at=now, cancelled_at=None)
        chosen = Selection(ids=(WebhookEvent.objects.get().pk,))

        def act(name: str, chosen: Selection = chosen) -> int:
            return operations.act_on(
                act=name, queue="webhook", selection=chosen, actor=actor, reason="because", now=timezone.now()
            ).done

        done = together(lambda: act("redrive"), lambda: act("purge"))
        row = WebhookEvent.objects.get()
        assert sum(done) == 1, number
        assert (row.status, row.hidden_at is None) in {("pending", True), ("dead_letter", False)}
        drain()
        assert len(ran) == (row.status == "pending")
        ran.clear()
        WebhookEvent.objects.all().delete()
