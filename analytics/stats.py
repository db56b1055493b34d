"""What queries did and what readers were shown, counted by minute for the service levels.

Collected in memory and written a few seconds later, so that looking at a page costs no write; a process that is killed
loses those seconds. A failure counts as one also when the reader saw a saved copy.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.db.models import F, Sum
from django.utils import timezone

from analytics.models import QueryStat
from queues.engine import log, pruning
from queues.monitor import stale

BOUNDS = (50, 250, 1000, 3000, 5000)
COLUMNS = (*(f"le_{bound}" for bound in BOUNDS), "more")
FLUSH_EVERY = 5.0
KEPT = timedelta(days=30)
SEEN = "seen_"
SETTLES = timedelta(minutes=2)
"""What is written later than that is late for the service levels, which count its minute again."""
LEVELS = ("analytics.succeeded", "analytics.fast", "analytics.fresh")

logger = log.get(__name__)

_lock = threading.Lock()
_waiting: dict[tuple[datetime, str, str], dict[str, int]] = {}
_flushed_at = time.monotonic()


def count(panel: str, outcome: str, *, now: datetime, attempts: int = 1, milliseconds: int = 0) -> None:
    """Count a query: `ok`, or the failure's code."""
    column = next((f"le_{bound}" for bound in BOUNDS if milliseconds <= bound), "more")
    key = (now.replace(second=0, microsecond=0), panel, outcome)
    with _lock:
        sums = _waiting.setdefault(key, dict.fromkeys(("count", "attempts", "milliseconds", *COLUMNS), 0))
        sums["count"] += 1
        sums["attempts"] += attempts
        sums["milliseconds"] += milliseconds
        if attempts:  # what was not even asked took no time, which would make the others look quick
            sums[column] += 1


def seen(panel: str, state: str, *, now: datetime) -> None:
    """Count what a reader was shown."""
    count(panel, SEEN + state, now=now)


def flush(*, at_once: bool = False) -> None:
    """Write what was collected, every few seconds at most. A database that is away gets it later."""
    global _flushed_at
    with _lock:
        if not _waiting or not (at_once or time.monotonic() - _flushed_at > FLUSH_EVERY):
            return
        taken = dict(_waiting)
        _waiting.clear()
        _flushed_at = time.monotonic()
    try:
        _write(taken)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("analytics.stats_put_off", words=str(error).split("\n")[0])
        with _lock:
            for key, sums in taken.items():
                known = _waiting.setdefault(key, dict.fromkeys(sums, 0))
                for name, number in sums.items():
                    known[name] += number


def _write(taken: dict[tuple[datetime, str, str], dict[str, int]]) -> None:
    keys = sorted(taken)
    QueryStat.objects.bulk_create(
        [QueryStat(minute=minute, panel=panel, outcome=outcome) for minute, panel, outcome in keys],
        ignore_conflicts=True,
    )
    for minute, panel, outcome in keys:
        adds = {name: F(name) + number for name, number in taken[minute, panel, outcome].items() if number}
        QueryStat.objects.filter(minute=minute, panel=panel, outcome=outcome).update(**adds)
    if late := {minute for minute, _, _ in keys if minute < timezone.now() - SETTLES}:
        stale.mark(LEVELS, late)


def clean(*, now: datetime) -> int:
    """Delete what is older than a month."""
    return pruning.prune(QueryStat.objects.filter(minute__lt=now - KEPT))


def levels(*, since: datetime) -> dict[str, float | int | None]:
    """The service levels since then: shares of queries that succeeded and views that were fresh, and p90 in ms (the
    upper bound of its class). None where nothing happened.
    """
    rows: list[Any] = list(
        QueryStat.objects.filter(minute__gte=since)
        .values("outcome")
        .annotate(n=Sum("count"), **{f"in_{name}": Sum(name) for name in COLUMNS})
    )
    queries = [row for row in rows if not row["outcome"].startswith(SEEN)]
    views = {row["outcome"].removeprefix(SEEN): row["n"] for row in rows if row["outcome"].startswith(SEEN)}
    asked, shown = sum(row["n"] for row in queries), sum(views.values())
    good = sum(row["n"] for row in queries if row["outcome"] == "ok")
    fresh = views.get("fresh", 0) + views.get("empty", 0)
    with_figures = shown - views.get("unavailable", 0) - views.get("preparing", 0)
    return {
        "queries": asked,
        "succeeded": good / asked if asked else None,
        "p90_ms": _percentile([sum(row[f"in_{name}"] for row in queries) for name in COLUMNS], 0.9),
        "views": shown,
        "fresh": fresh / shown if shown else None,
        "with_figures": with_figures / shown if shown else None,
    }


def _percentile(counts: list[int], share: float) -> int | None:
    wanted, passed = sum(counts) * share, 0
    for number, bound in zip(counts, (*BOUNDS, 60_000), strict=True):
        passed += number
        if number and passed >= wanted:
            return bound
    return None
