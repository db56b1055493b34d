"""Retention: payloads go before rows, ids stay, and what staff have not decided on is kept whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from queues.engine.tombstones import Tombstone
from queues.webhooks import counting, retention
from queues.webhooks.models import HandlerRun, ReceiptCount, WebhookEvent
from tests.queues.webhooks.deliveries import post, snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("secret")]


def finished(status: str, *, days: int, id: str) -> WebhookEvent:
    post(snapshot(id=id))
    ended = {"succeeded": "succeeded_at", "cancelled": "cancelled_at", "dead_letter": "dead_at"}[status]
    rows = WebhookEvent.objects.filter(event_id=id)
    rows.update(status=status, **{ended: timezone.now() - timedelta(days=days)})
    return rows.get()


def test_payloads_of_finished_events_go_after_a_month_and_those_of_dead_letters_never():
    old, fresh = finished("succeeded", days=31, id="evt_old"), finished("cancelled", days=29, id="evt_fresh")
    dead = finished("dead_letter", days=300, id="evt_dead")
    assert retention.remove_payloads(now=timezone.now()) == 1
    assert retention.remove_payloads(now=timezone.now()) == 0
    for row in (old, fresh, dead):
        row.refresh_from_db()
    assert (bytes(old.payload), old.payload_removed_at is None) == (b"", False)
    assert bytes(fresh.payload)
    assert bytes(dead.payload)


def test_rows_go_after_three_months_and_their_ids_are_still_answered():
    finished("succeeded", days=91, id="evt_old")
    finished("succeeded", days=89, id="evt_fresh")
    finished("dead_letter", days=300, id="evt_dead")
    now = timezone.now()
    retention.remove_rows(now=now)
    assert retention.remove_rows(now=now + timedelta(minutes=2)) == 1
    assert set(WebhookEvent.objects.values_list("event_id", flat=True)) == {"evt_fresh", "evt_dead"}
    assert Tombstone.objects.get().key == "stripe:evt_old"
    assert post(snapshot(id="evt_old")).json()["repeated"] is True
    assert WebhookEvent.objects.count() == 2


def test_what_staff_purged_goes_after_a_week():
    row = finished("dead_letter", days=10, id="evt_purged")
    WebhookEvent.objects.update(hidden_at=timezone.now() - timedelta(days=6))
    assert retention.remove_rows(now=timezone.now()) == 0
    now = timezone.now() + timedelta(days=2)
    retention.remove_rows(now=now)
    retention.remove_rows(now=now + timedelta(minutes=2))
    assert not WebhookEvent.objects.filter(pk=row.pk).exists()


def test_handler_runs_stay_as_long_as_their_event_can_be_replayed():
    kept, gone = finished("dead_letter", days=300, id="evt_dead"), timezone.now() - timedelta(days=121)
    for item_id, event_id in ((kept.pk, "evt_dead"), (10**9, "evt_gone")):
        HandlerRun.objects.create(
            provider="stripe", event_id=event_id, handler="a", version=1, item_id=item_id, state_at=gone, ran_at=gone
        )
    counting.count(provider="stripe", outcome="old", now=gone)
    counting.write()
    assert retention.remove_runs(now=timezone.now()) == 1
    assert HandlerRun.objects.get().event_id == "evt_dead"
    assert not ReceiptCount.objects.exists()
