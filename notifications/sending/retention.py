"""Retention: contents of finished pushes go first, their rows later; keys stay as tombstones. Dead letters stay whole.

    finished ──30 days──▶ content removed ──90 days──▶ row buried (a tombstone answers its key)
    purged by staff ──7 days──▶ buried
    breakers of campaigns ──a day──▶ deleted

In bounded batches, each a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from notifications.models import PushDelivery
from queues.engine import registry, transitions
from queues.engine.breaker import Breaker
from queues.engine.item import QueueItem
from queues.engine.states import FINISHED

BATCH = 500
SCAN = 5000
"""Rows looked at in one query."""
CAMPAIGN_HELD = timedelta(days=1)


def remove_all(*, now: datetime) -> dict[str, int]:
    """All of these, for the daily schedule; what was removed, by kind."""
    return {"contents": remove_contents(now=now), "rows": remove_rows(now=now), "breakers": remove_breakers(now=now)}


def remove_contents(*, now: datetime) -> int:
    """Empty the contents of pushes that finished long ago; return how many."""
    before = now - timedelta(days=settings.RETENTION_BODIES_DAYS)
    return _in_batches(Q(status__in=FINISHED, finish__lt=before) & ~Q(payload={}), lambda ids: _empty(ids))


def remove_rows(*, now: datetime) -> int:
    """Bury pushes that finished long ago, and those that staff purged and can no longer restore; return how many."""
    before = now - timedelta(days=settings.RETENTION_ROWS_DAYS)
    purged = Q(hidden_at__lte=now - transitions.RESTORABLE)
    return _in_batches(Q(status__in=FINISHED, finish__lt=before) | purged, lambda ids: _bury(ids, now=now))


def remove_breakers(*, now: datetime) -> int:
    """Forget campaigns that were held once; return how many."""
    over = Breaker.objects.filter(name__startswith="push ", name__contains=" campaign ")
    return over.filter(changed_at__lt=now - CAMPAIGN_HELD).delete()[0]


def _in_batches(wanted: Q, remove: Callable[[list[int]], int]) -> int:
    return sum(remove(ids) for ids in _old(wanted))


def _old(wanted: Q) -> Iterator[list[int]]:
    """Ids of the wanted rows in batches; walks the table once by its key, so that no index is kept up for this."""
    last = 0
    while window := list(PushDelivery.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:SCAN]):
        first, last = window[0], window[-1]
        rows = PushDelivery.objects.filter(pk__gte=first, pk__lte=last)
        rows = rows.annotate(finish=Coalesce("succeeded_at", "cancelled_at"))
        ids = list(rows.filter(wanted).order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(ids), BATCH):
            yield ids[start : start + BATCH]


def _empty(ids: list[int]) -> int:
    with transaction.atomic():
        # again under the lock: staff may have replayed one since
        held = list(_lock(PushDelivery.objects.filter(pk__in=ids, status__in=FINISHED)).values_list("pk", flat=True))
        gone: dict[str, Any] = {"payload": {}, "version": F("version") + 1}
        return PushDelivery.objects.filter(pk__in=held).update(**gone)


def _bury(ids: list[int], *, now: datetime) -> int:
    with transaction.atomic():
        over = Q(status__in=FINISHED) | Q(hidden_at__isnull=False)
        rows = _lock(PushDelivery.objects.filter(over, pk__in=ids))
        return transitions.bury(registry.for_model(PushDelivery), items=rows, now=now)


def _lock(rows: QuerySet[QueueItem]) -> QuerySet[QueueItem]:
    """Rows locked for this transaction, in order of their keys; SQLite's transactions lock everything anyway."""
    rows = rows.order_by("pk")
    return rows.select_for_update(skip_locked=True) if connection.features.has_select_for_update_skip_locked else rows
