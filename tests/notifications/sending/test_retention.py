"""What is removed, when, and what stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notifications import push, tasks
from notifications.models import PushDelivery
from notifications.sending import retention
from queues.engine import transitions
from queues.engine.breaker import Breaker
from queues.engine.states import Status
from queues.engine.tombstones import Tombstone
from tests.notifications.sending.world import Service, device, drain

pytestmark = pytest.mark.django_db(transaction=True)


def finished(key: str, *, days: int, status: str = Status.SUCCEEDED, **fields: Any) -> int:
    """A push that ended so many days ago."""
    at = timezone.now() - timedelta(days=days)
    push.notify(users=[device().installation.user_id], title="Doors open", key=key, now=at)
    row = PushDelivery.objects.latest("pk")
    ended = {"succeeded": "succeeded_at", "cancelled": "cancelled_at", "dead_letter": "dead_at"}[status]
    PushDelivery.objects.filter(pk=row.pk).update(status=status, **{ended: at}, **fields)
    return int(row.pk)


def test_contents_go_after_thirty_days_rows_after_ninety_dead_letters_never(service: Service):
    now = timezone.now()
    fresh, old, ancient = finished("a", days=29), finished("b", days=31), finished("c", days=91)
    never = finished("d", days=31, status=Status.CANCELLED)
    dead = finished("e", days=200, status=Status.DEAD_LETTER)
    purged = finished("f", days=20, hidden_at=now - timedelta(days=8))
    assert retention.remove_all(now=now)["contents"] == 3
    retention.remove_all(now=now + timedelta(minutes=2))  # a tombstone is written a while before its row goes
    left = dict(PushDelivery.objects.values_list("pk", "payload"))
    assert set(left) == {fresh, old, never, dead}
    assert left[old] == left[never] == {}
    assert left[fresh]["title"] == left[dead]["title"] == "Doors open"
    assert set(Tombstone.objects.values_list("item_id", flat=True)) == {ancient, purged}
    again = push.notify(users=[PushDelivery.objects.get(pk=old).user_id or 0], title="Doors open", key="b")
    assert again.repeated, "the key is answered for ever"

    # What has no content any more is not sent again.
    transitions.replay(PushDelivery.objects.filter(pk=old), now=now)
    PushDelivery.objects.filter(pk=old).update(expires_at=None)
    assert drain() == {"dead_letter": 1}
    assert service.sent == []


def test_breakers_of_campaigns_are_forgotten_and_those_of_services_are_not():
    now = timezone.now()
    for name in ("push fcm campaign spring", "push fcm production", "push https://push.example", "smtp"):
        Breaker.objects.create(name=name, changed_at=now - timedelta(days=2))
    Breaker.objects.create(name="push fcm campaign today", changed_at=now)
    assert retention.remove_breakers(now=now) == 1
    assert not Breaker.objects.filter(name="push fcm campaign spring").exists()


def test_the_scheduled_task_makes_one_call():
    assert tasks.remove_old_pushes() == {"contents": 0, "rows": 0, "breakers": 0}
