"""Deliveries that leave no row are counted: in memory, and written down at most every ten seconds.

A flood of forged ones must cost the database next to nothing. What a process has not written when it ends is lost.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F

from queues.webhooks import deadline
from queues.webhooks.models import ReceiptCount

log = structlog.get_logger(__name__)

WRITE_SECONDS = 10.0


class _Counts:
    """What this process has counted and not yet written, by (provider, hour, outcome): [count, worst skew]."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: dict[tuple[str, datetime, str], list[int]] = {}
        self.written = 0.0


_counts = _Counts()


def count(*, provider: str, outcome: str, now: datetime, skew_seconds: int = 0) -> None:
    """Count one; now and then this writes what has come together."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    with _counts.lock:
        entry = _counts.kept.setdefault((provider, hour, outcome), [0, 0])
        entry[0] += 1
        entry[1] = max(entry[1], skew_seconds, key=abs)
        due = time.monotonic() - _counts.written > WRITE_SECONDS
        if due:
            _counts.written = time.monotonic()
    if due:
        write()


def write() -> None:
    """Write what was counted. A database that does not take it is no reason to fail: then it is lost."""
    with _counts.lock:
        taken, _counts.kept = _counts.kept, {}
    for (provider, hour, outcome), (number, skew) in taken.items():
        try:
            with deadline.soon(connection):
                _add(provider, hour, outcome, number, skew)
        except (DatabaseError, InterfaceError) as error:
            log.warning("receipts.not_counted", outcome=outcome, count=number, words=type(error).__name__)


def _add(provider: str, hour: datetime, outcome: str, number: int, skew: int) -> None:
    rows = ReceiptCount.objects.filter(provider=provider, hour=hour, outcome=outcome)
    if not rows.update(count=F("count") + number):
        ReceiptCount.objects.bulk_create(
            [ReceiptCount(provider=provider, hour=hour, outcome=outcome)], ignore_conflicts=True
        )
        rows.update(count=F("count") + number)
    if skew:
        worse = {"worst_skew_seconds__lt": skew} if skew > 0 else {"worst_skew_seconds__gt": skew}
        rows.filter(**worse).update(worst_skew_seconds=skew)
