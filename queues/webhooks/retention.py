"""Retention: payloads of finished events go first, their rows later; ids stay as tombstones. Dead letters stay whole.

    finished ──30 days──▶ payload removed ──90 days──▶ row buried (a tombstone answers its id)
    purged by staff ──7 days──▶ buried
    handler runs, counts ──120 days──▶ deleted: no event of theirs is left to be replayed

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

from queues.engine import pruning, registry, transitions
from queues.engine.item import QueueItem
from queues.engine.states import FINISHED
from queues.webhooks.models import HandlerRun, ReceiptCount, SweepDay, WebhookEvent

PAYLOADS_DAYS = 30
ROWS_DAYS = 90
"""Both since the event reached its final state; settings RETENTION_BODIES_DAYS and RETENTION_ROWS_DAYS win."""
RUNS_AFTER_ROWS = timedelta(days=30)
BATCH = 200
"""Rows of one transaction: a third of the 100 ms that it may hold its locks."""
SCAN = 5000
"""Rows looked at in one query."""


def remove_all(*, now: datetime) -> dict[str, int]:
    """All of these, for the daily schedule; what was removed, by kind."""
    return {"payloads": remove_payloads(now=now), "rows": remove_rows(now=now), "runs": remove_runs(now=now)}


def remove_payloads(*, now: datetime) -> int:
    """Empty the payloads of events that finished long ago; return how many."""
    before = now - timedelta(days=_days("RETENTION_BODIES_DAYS", PAYLOADS_DAYS))
    old = Q(status__in=FINISHED, finish__lt=before, payload_removed_at__isnull=True)
    return _in_batches(old, lambda ids: _empty(ids, now=now))


def remove_rows(*, now: datetime) -> int:
    """Bury events that finished long ago, and those that staff purged and can no longer restore; return how many."""
    before = now - timedelta(days=_days("RETENTION_ROWS_DAYS", ROWS_DAYS))
    purged = Q(hidden_at__lte=now - transitions.RESTORABLE)
    return _in_batches(Q(status__in=FINISHED, finish__lt=before) | purged, lambda ids: _bury(ids, now=now))


def remove_runs(*, now: datetime) -> int:
    """Delete handler runs and counts older than any finished row; return how many."""
    before = now - timedelta(days=_days("RETENTION_ROWS_DAYS", ROWS_DAYS)) - RUNS_AFTER_ROWS
    removed = 0
    while keys := list(_over(before).values_list("pk", flat=True)[:BATCH]):
        removed += HandlerRun.objects.filter(pk__in=keys).delete()[0]
    pruning.prune(ReceiptCount.objects.filter(hour__lt=before))
    SweepDay.objects.filter(day__lt=before.date()).delete()
    return removed


def _over(before: datetime) -> QuerySet[HandlerRun]:
    """Old runs of events that have no row any more: a dead letter stays, and so do the runs of its handlers."""
    return HandlerRun.objects.filter(ran_at__lt=before).exclude(item_id__in=WebhookEvent.objects.values("pk"))


def _days(name: str, default: int) -> int:
    return int(getattr(settings, name, default))


def _in_batches(wanted: Q, remove: Callable[[list[int]], int]) -> int:
    return sum(remove(ids) for ids in _old(wanted))


def _old(wanted: Q) -> Iterator[list[int]]:
    """Ids of the wanted rows in batches; walks the table once by its key, so that no index is kept up for this."""
    last = 0
    while window := list(WebhookEvent.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:SCAN]):
        first, last = window[0], window[-1]
        rows = WebhookEvent.objects.filter(pk__gte=first, pk__lte=last)
        ids = list(
            rows.annotate(finish=Coalesce("succeeded_at", "cancelled_at"))
            .filter(wanted)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        for start in range(0, len(ids), BATCH):
            yield ids[start : start + BATCH]


def _empty(ids: list[int], *, now: datetime) -> int:
    with transaction.atomic():
        # again under the lock: staff may have replayed one since
        held = list(_lock(WebhookEvent.objects.filter(pk__in=ids, status__in=FINISHED)).values_list("pk", flat=True))
        gone: dict[str, Any] = {"payload": b"", "payload_removed_at": now}
        return WebhookEvent.objects.filter(pk__in=held).update(**gone, version=F("version") + 1)


def _bury(ids: list[int], *, now: datetime) -> int:
    with transaction.atomic():
        over = Q(status__in=FINISHED) | Q(hidden_at__isnull=False)
        rows = _lock(WebhookEvent.objects.filter(over, pk__in=ids))
        return transitions.bury(registry.for_model(WebhookEvent), items=rows, now=now)


def _lock(rows: QuerySet[QueueItem]) -> QuerySet[QueueItem]:
    """Rows locked for this transaction, in order of their keys; SQLite's transactions lock everything anyway."""
    rows = rows.order_by("pk")
    return rows.select_for_update(skip_locked=True) if connection.features.has_select_for_update_skip_locked else rows
