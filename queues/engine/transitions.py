"""Transitions outside an attempt: reclaim and expiry by the clock; redrive, replay, discard and purge by staff.

Each is a compare-and-set UPDATE that says what it changed; a row no longer in the expected state is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import models, router, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.expressions import RawSQL

from queues.engine import failure_groups, fingerprints, revisions
from queues.engine.attempts import Attempt
from queues.engine.item import QueueItem
from queues.engine.registry import Queue
from queues.engine.states import FINISHED, WAITING, Status
from queues.engine.tombstones import Tombstone

log = structlog.get_logger(__name__)

RECLAIM_AT_ONCE = 500
"""Items one reclaim takes back; the rest is left to the next, a few seconds later."""
LOST_WORDS = "The worker stopped before it could say how this run ended."
TOMBSTONE_FIRST = timedelta(minutes=1)
RESTORABLE = timedelta(days=7)
"""How long a purged item can be brought back."""

# Written out, because SQLite takes a partial index only for literals; with parameters each sweep would read the table.
_PROCESSING = RawSQL(f"status = '{Status.PROCESSING.value}'", (), models.BooleanField())  # noqa: S611
_WAITING = RawSQL(f"status IN ('{Status.PENDING.value}', '{Status.RETRYING.value}')", (), models.BooleanField())  # noqa: S611

_LEASE_GONE = {"lease_token": None, "leased_until": None, "leased_by": ""}
_FRESH = {
    "status": Status.PENDING,
    "attempts": 0,
    "version": F("version") + 1,
    "waits_for": "",
    "uncertain_at": None,
    "succeeded_at": None,
    "cancelled_at": None,
    "dead_at": None,
}


def reclaim(queue: Queue, *, now: datetime) -> int:
    """Take back items whose lease ran out: due at once, or dead letter when that was their last attempt."""
    with transaction.atomic(using=router.db_for_write(queue.model)):
        lost = list(_locked(queue.model).filter(_PROCESSING, leased_until__lt=now)[:RECLAIM_AT_ONCE])
        retries = queue.policy.max_retries
        over = [item for item in lost if item.attempts > (retries if item.max_retries is None else item.max_retries)]
        cause = fingerprints.of(queue=queue.name, code="lost", words=LOST_WORDS)
        words: dict[str, Any] = {"last_code": "lost", "last_words": LOST_WORDS, "fingerprint": cause, **_LEASE_GONE}
        words["version"] = F("version") + 1
        dead = {item.pk for item in over}
        for ids, change in (
            (dead, {"status": Status.DEAD_LETTER, "dead_at": now}),
            ({item.pk for item in lost} - dead, {"status": Status.RETRYING, "due_at": now, "waits_for": ""}),
        ):
            if ids:
                queue.model._default_manager.filter(pk__in=ids).update(**words, **change)
        Attempt.objects.bulk_create(
            Attempt(
                queue=queue.name,
                item_id=item.pk,
                number=item.runs,
                outcome="lost",
                code="lost",
                words=LOST_WORDS,
                worker=item.leased_by,
            )
            for item in lost
        )
    failure_groups.seen(
        queue.name,
        [
            failure_groups.Failure(fingerprint=cause, code="lost", words=LOST_WORDS, kind=item.kind, at=now)
            for item in lost[:1]
        ],
    )
    for item in lost:
        log.warning("item.reclaimed", queue=queue.name, item=item.pk, attempt=item.attempts, worker=item.leased_by)
    return len(lost)


def expire(queue: Queue, *, now: datetime) -> int:
    """Cancel waiting items whose time has passed; also while nothing can be attempted."""
    return queue.model._default_manager.filter(_WAITING, expires_at__lte=now).update(
        status=Status.CANCELLED,
        cancelled_at=now,
        last_code="expired",
        last_words="Not sent: its time had passed.",
        waits_for="",
        version=F("version") + 1,
    )


def release(model: type[QueueItem], *, items: Iterable[QueueItem], now: datetime) -> int:
    """Give back claimed items that were never begun, as if they had not been claimed."""
    tokens = {item.pk: item.lease_token for item in items}
    held = model._default_manager.filter(
        pk__in=tokens, lease_token__in=set(tokens.values()), status=Status.PROCESSING, runs__gt=0, attempts__gt=0
    )
    before = Case(When(runs__gt=1, then=Value(Status.RETRYING.value)), default=Value(Status.PENDING.value))
    return held.update(
        status=before, attempts=F("attempts") - 1, runs=F("runs") - 1, version=F("version") + 1, **_LEASE_GONE
    )


def confirm(model: type[QueueItem], *, item_id: int, now: datetime) -> bool:
    """Word came that an uncertain item did arrive: it has succeeded."""
    waits = Q(status__in=WAITING) | Q(status=Status.DEAD_LETTER)
    return bool(
        model._default_manager.filter(waits, pk=item_id, uncertain_at__isnull=False).update(
            status=Status.SUCCEEDED,
            succeeded_at=now,
            dead_at=None,
            uncertain_at=None,
            waits_for="",
            last_code="confirmed",
            last_words="The provider reported it: it had been taken although its answer was lost.",
            version=F("version") + 1,
        )
    )


def redrive(items: models.QuerySet[QueueItem], *, now: datetime) -> int:
    """Dead letters back to pending, due at once, with a whole new schedule before them."""
    return items.filter(status=Status.DEAD_LETTER, hidden_at__isnull=True).update(due_at=now, **_FRESH)


def edit(
    items: models.QuerySet[QueueItem], *, item_id: int, version: int, columns: dict[str, Any], now: datetime
) -> bool:
    """A failed item with other contents (`columns`, of the queue's own), due at once, if it is as it was seen."""
    failed = items.filter(status__in=(Status.DEAD_LETTER, Status.RETRYING), hidden_at__isnull=True)
    return bool(failed.filter(pk=item_id, version=version).update(**columns, **{"due_at": now, **_FRESH}))


def replay(items: models.QuerySet[QueueItem], *, now: datetime) -> int:
    """Succeeded or cancelled items to run again."""
    return items.filter(status__in=FINISHED, hidden_at__isnull=True).update(due_at=now, **_FRESH)


def reschedule(items: models.QuerySet[QueueItem], *, due_at: datetime) -> int:
    """Waiting items run at another time; what they waited for besides is looked at again then."""
    waiting = items.filter(status__in=WAITING, hidden_at__isnull=True)
    return waiting.update(due_at=due_at, waits_for="", version=F("version") + 1)


def prioritize(items: models.QuerySet[QueueItem], *, priority: int) -> int:
    """Which of the due items is claimed first. Only of those that may still run."""
    may_run = items.filter(status__in=(*WAITING, Status.DEAD_LETTER), hidden_at__isnull=True)
    return may_run.update(priority=priority, version=F("version") + 1)


def discard(items: models.QuerySet[QueueItem], *, reason: str, now: datetime) -> int:
    """Give up on waiting items and dead letters; the rows stay. What a worker holds is left alone."""
    return items.filter(status__in=(*WAITING, Status.DEAD_LETTER)).update(
        status=Status.CANCELLED,
        cancelled_at=now,
        last_code="discarded",
        last_words=f"Discarded by staff: {reason}",
        waits_for="",
        version=F("version") + 1,
    )


def hide(items: models.QuerySet[QueueItem], *, now: datetime) -> int:
    """Purge, first half: out of sight at once, still restorable. Only items that no worker will touch."""
    settled = items.filter(status__in=(*FINISHED, Status.DEAD_LETTER), hidden_at__isnull=True)
    return settled.update(hidden_at=now, version=F("version") + 1)


def restore(items: models.QuerySet[QueueItem], *, now: datetime) -> int:
    """Bring purged items back into sight."""
    return items.filter(hidden_at__gt=now - RESTORABLE).update(hidden_at=None, version=F("version") + 1)


def put_back(items: models.QuerySet[QueueItem], *, item_id: int, columns: dict[str, Any]) -> int:
    """Undo a transition of staff: the columns as they were before. The caller saw that nothing has touched it since."""
    return items.filter(pk=item_id).exclude(status=Status.PROCESSING).update(**columns, version=F("version") + 1)


def bury(queue: Queue, *, items: models.QuerySet[QueueItem], now: datetime) -> int:
    """Delete finished and dead rows for good; returns how many. Their keys are still answered, by tombstones.

    A tombstone is written at least a minute before its row goes, so that no enqueue can run so long that it sees
    neither: a row with a key of its caller's takes two calls. A row that staff send back to work meanwhile stays.
    """
    with transaction.atomic(using=router.db_for_write(queue.model)):
        over = items.filter(status__in=(*FINISHED, Status.DEAD_LETTER)).order_by("pk").select_for_update()
        rows = list(over.values_list("pk", "idempotency_key", "status", "content_hash"))
        keyed = {key: pk for pk, key, _, _ in rows if not key.startswith("auto:")}
        Tombstone.objects.bulk_create(
            [
                Tombstone(queue=queue.name, item_id=pk, key=key, status=status, content_hash=content, buried_at=now)
                for pk, key, status, content in rows
                if key in keyed
            ],
            ignore_conflicts=True,
        )
        old = Tombstone.objects.filter(queue=queue.name, key__in=keyed, buried_at__lte=now - TOMBSTONE_FIRST)
        ids = {pk for pk, key, _, _ in rows if key not in keyed} | set(old.values_list("item_id", flat=True))
        Attempt.objects.filter(queue=queue.name, item_id__in=ids).delete()
        revisions.forget(queue=queue.name, items=ids)
        queue.model._default_manager.filter(pk__in=ids).only("pk").delete()
    return len(ids)


def _locked(model: type[QueueItem]) -> models.QuerySet[QueueItem]:
    """Rows locked for this transaction, skipping what another holds (SQLite locks whole, so plainly there)."""
    from django.db import connections

    rows = model._default_manager.order_by("leased_until")
    if connections[router.db_for_write(model)].features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True)
    return rows
