"""Retention: bodies of finished mails go first, their rows later; keys stay as tombstones. Dead letters stay whole.

    finished ──30 days──▶ bodies and files removed ──90 days──▶ row buried (a tombstone answers its key)
    purged by staff ───7 days──▶ buried
    files no mail carries, events no mail was found for ──▶ deleted

Each function works in bounded batches, each a transaction of its own, so that nothing waits long for its locks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from queues.email.models import Attachment, AttachmentUse, EmailMessage, TrackingEvent
from queues.engine import registry, revisions, transitions
from queues.engine.item import QueueItem
from queues.engine.states import FINISHED

BATCH = 200
"""Rows of one transaction: a third of the 100 ms that it may hold its locks."""
SCAN = 5000
"""Rows looked at in one query; few of them may be old enough."""
FILES_GRACE = timedelta(days=1)
"""A file is stored a moment before the mail that carries it."""

_FINISHED_AT = Coalesce("succeeded_at", "cancelled_at")


def remove_bodies(*, now: datetime) -> int:
    """Empty texts, HTML, context and files of mails that finished long ago; return how many mails."""
    before = now - timedelta(days=settings.RETENTION_BODIES_DAYS)
    old = Q(status__in=FINISHED, finish__lt=before, bodies_removed_at__isnull=True)
    return _in_batches(old, lambda ids: _empty(ids, now=now))


def remove_rows(*, now: datetime) -> int:
    """Bury mails that finished long ago, and those that staff purged and can no longer restore; return how many."""
    before = now - timedelta(days=settings.RETENTION_ROWS_DAYS)
    purged = Q(hidden_at__lte=now - transitions.RESTORABLE)
    return _in_batches(Q(status__in=FINISHED, finish__lt=before) | purged, lambda ids: _bury(ids, now=now))


def remove_unused_files(*, now: datetime) -> int:
    """Delete files that no mail carries any more; return how many.

    Enqueueing a mail touches the file's row first, which makes this wait for it and then see that it is fresh.
    """
    unused = Attachment.objects.filter(
        ~Exists(AttachmentUse.objects.filter(attachment=OuterRef("pk"))), created_at__lt=now - FILES_GRACE
    )
    removed = 0
    while keys := list(unused.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            locked = list(_lock(Attachment.objects.filter(pk__in=keys)).values_list("pk", flat=True))
            deleted, _ = unused.filter(pk__in=locked).only("pk").delete()  # without loading the contents
        if not deleted:
            break
        removed += deleted
    return removed


def remove_stray_events(*, now: datetime) -> int:
    """Delete events of mails that are not ours to find, once they are as old as rows get; return how many."""
    before = now - timedelta(days=settings.RETENTION_ROWS_DAYS)
    removed = 0
    while keys := list(
        TrackingEvent.objects.filter(message__isnull=True, received_at__lt=before).values_list("pk", flat=True)[:BATCH]
    ):
        removed += TrackingEvent.objects.filter(pk__in=keys).delete()[0]
    return removed


def remove_all(*, now: datetime) -> dict[str, int]:
    """All of these, for the daily schedule; what was removed, by kind."""
    return {
        "bodies": remove_bodies(now=now),
        "rows": remove_rows(now=now),
        "files": remove_unused_files(now=now),
        "events": remove_stray_events(now=now),
    }


def _in_batches(wanted: Q, remove: Callable[[list[int]], int]) -> int:
    return sum(remove(ids) for ids in _old(wanted))


def _old(wanted: Q) -> Iterator[list[int]]:
    """Ids of the wanted rows in batches. Walks the table once by its key, whose pages are read anyway, so that no
    index has to be kept up at every settlement for a look once a day.
    """
    last = 0
    while True:
        window = list(EmailMessage.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:SCAN])
        if not window:
            return
        first, last = window[0], window[-1]
        rows = EmailMessage.objects.filter(pk__gte=first, pk__lte=last).annotate(finish=_FINISHED_AT)
        ids = list(rows.filter(wanted).order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(ids), BATCH):
            yield ids[start : start + BATCH]


def _empty(ids: list[int], *, now: datetime) -> int:
    with transaction.atomic():
        # again under the lock: staff may have replayed one since
        held = list(_lock(EmailMessage.objects.filter(pk__in=ids, status__in=FINISHED)).values_list("pk", flat=True))
        AttachmentUse.objects.filter(message__in=held).delete()
        revisions.forget(queue=registry.for_model(EmailMessage).name, items=held)
        gone: dict[str, Any] = {"text": "", "html": "", "context": None, "bodies_removed_at": now}
        return EmailMessage.objects.filter(pk__in=held).update(**gone, version=F("version") + 1)


def _bury(ids: list[int], *, now: datetime) -> int:
    with transaction.atomic():
        settled = Q(status__in=FINISHED) | Q(hidden_at__isnull=False)
        return transitions.bury(
            registry.for_model(EmailMessage), items=_lock(EmailMessage.objects.filter(settled, pk__in=ids)), now=now
        )


def _lock[Row: (QueueItem, Attachment)](rows: QuerySet[Row]) -> QuerySet[Row]:
    """Rows locked for this transaction, in order of their keys; SQLite's transactions lock everything anyway."""
    rows = rows.order_by("pk")
    return rows.select_for_update(skip_locked=True) if connection.features.has_select_for_update_skip_locked else rows
