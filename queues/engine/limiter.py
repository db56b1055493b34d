"""The rate limiter: `RateCounter` rows in the database, shared by all workers of all machines.

In no window of the given length are more than the limit granted, whatever the number of workers (see `window`).
A batch asks once: on PostgreSQL one statement (the function `queues_grant`), on SQLite one transaction.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connections, models, router, transaction
from django.db.models.functions import Collate

from queues.engine import pruning, statements
from queues.engine.registry import Limit
from queues.engine.window import PARTS, SECOND, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RateCounter(models.Model):
    """One key's window (see `window`)."""

    key = models.CharField(max_length=400, primary_key=True)
    slots = models.JSONField(default=dict)
    """{slot: units granted}"""
    promises = models.JSONField(default=list)
    """[[slot, units], …], the earliest first"""
    limit = models.PositiveIntegerField(default=0)
    window_seconds = models.PositiveIntegerField(default=0)
    """The length by which the slots are numbered; the setting may have changed since."""
    used_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Want:
    """One item's wish: a unit of each of these limits, all or none.

    `ahead`: it is urgent, or comes at a time it was promised, and passes those who wait in line.
    `promised`: it comes at a time it was promised, and hands its promise in.
    `waits`: refused, it comes again when it was told to. A promise is kept for it on the limit it was told, but not
    on one without a subject: there the queue itself is the line.
    """

    limits: tuple[Limit, ...]
    ahead: bool = False
    promised: bool = False
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to one `Want`: granted at `at`, or the limit that refused it and from when it can be granted."""

    granted: bool
    limit: str = ""
    until: datetime | None = None
    at: datetime | None = None


def allowance(name: str) -> tuple[int, int]:
    """(limit, window in seconds) of a named limit. Raises KeyError for a name that `RATE_LIMITS` lacks."""
    limit, seconds = settings.RATE_LIMITS[name]
    return int(limit), int(seconds)


def grant(wants: Sequence[Want], *, at: datetime | None = None) -> list[Grant]:
    """Answer every want, in order. Each key is locked once, in sorted order; the time is the database's.

    `at` replaces the database's clock in tests. Inside a caller's transaction the keys stay locked until its end.
    """
    names = {limit.key: limit.name for want in wants for limit in want.limits}
    if not names:
        return [Grant(True) for _ in wants]
    known = [(key, *allowance(names[key])) for key in sorted(names)]
    places = {key: place for place, (key, _, _) in enumerate(known, start=1)}
    asked = [
        (
            want.ahead + 2 * want.promised,
            sorted({places[one.key] * (1 if want.waits and one.subject else -1) for one in want.limits}, key=abs),
        )
        for want in wants
    ]
    using = router.db_for_write(RateCounter)
    answer = _grant_postgres if connections[using].vendor == "postgresql" else _grant_sqlite
    return [
        Grant(True, at=_instant(micros))
        if place is None
        else Grant(False, limit=names[known[place][0]], until=_instant(micros))
        for place, micros in answer(using, known, asked, at)
    ]


def take(limits: Sequence[Limit], *, at: datetime | None = None) -> Grant:
    """One want by itself, for code that does not wait (a checkout): no promise is kept for who is refused."""
    return grant([Want(tuple(limits), ahead=True, waits=False)], at=at)[0]


def give_back(limits: Sequence[Limit], *, granted_at: datetime | None = None) -> None:
    """Return a unit of each (the same one twice: two), granted at `granted_at` (`Grant.at`) and not used.

    Exactly those units: who returned another's would free a place before its time.
    """
    if granted_at is None or not limits:
        return
    micros = _micros(granted_at)
    returned = Counter(limit.key for limit in limits)
    with transaction.atomic(using=router.db_for_write(RateCounter)):
        # Locked in the order of the grant: byte order, whatever the database's collation.
        rows = RateCounter.objects.select_for_update().filter(key__in=returned).order_by(_byte_order())
        for row in rows:
            slot = str(micros * PARTS // (row.window_seconds * SECOND))
            if row.slots.get(slot, 0) > 0:
                row.slots[slot] = max(0, row.slots[slot] - returned[row.key])
                row.save(update_fields=["slots"])


def clean(*, now: datetime) -> int:
    """Delete counters that hold nothing any more (daily)."""
    longest = max((seconds for _, seconds in settings.RATE_LIMITS.values()), default=0)
    idle = RateCounter.objects.filter(used_at__lt=now - timedelta(seconds=2 * longest + 3600))
    return pruning.prune(idle)


def _grant_postgres(
    using: str, known: list[tuple[str, int, int]], asked: list[tuple[int, list[int]]], at: datetime | None
) -> list[tuple[int | None, int]]:
    flat = [number for flags, places in asked for number in (flags, len(places), *places)]
    with statements.cursor(connections[using]) as cursor:
        cursor.execute(
            "SELECT queues_grant(%s::text[], %s::int[], %s::int[], %s::int[], %s::timestamptz)",
            [*(list(part) for part in zip(*known, strict=True)), flat, at],
        )
        answer = cursor.fetchone()[0]
    return [(place, micros) for place, micros in (json.loads(answer) if isinstance(answer, str) else answer)]


def _grant_sqlite(
    using: str, known: list[tuple[str, int, int]], asked: list[tuple[int, list[int]]], at: datetime | None
) -> list[tuple[int | None, int]]:
    with transaction.atomic(using=using):
        micros = _micros(at) if at else time.time_ns() // 1000
        rows = RateCounter.objects.in_bulk([key for key, _, _ in known])
        windows = [_window(rows.get(key), limit=limit, length=length) for key, limit, length in known]
        for window in windows:
            window.forget(micros)
        answers = [_answer(windows, flags, places, micros) for flags, places in asked]
        RateCounter.objects.bulk_create(
            [
                RateCounter(
                    key=key,
                    slots=window.slots,
                    promises=window.promises,
                    limit=limit,
                    window_seconds=length,
                    used_at=_instant(micros),
                )
                for (key, limit, length), window in zip(known, windows, strict=True)
            ],
            update_conflicts=True,
            unique_fields=["key"],
            update_fields=["slots", "promises", "limit", "window_seconds", "used_at"],
        )
    return answers


def _window(row: RateCounter | None, *, limit: int, length: int) -> Window:
    if row is None:
        return Window(limit, length)
    return Window.load(limit=limit, length=length, slots=row.slots, promises=row.promises, was=row.window_seconds)


def _answer(windows: list[Window], flags: int, places: list[int], micros: int) -> tuple[int | None, int]:
    """Grant on all of `places` or on none; refused, the place that makes it wait longest and until when."""
    ahead = bool(flags & 1)
    asked = [(place, windows[abs(place) - 1]) for place in places]
    if flags & 2:
        for _, window in asked:
            window.hand_in()
    refusing = [(place, window) for place, window in asked if not window.allows(ahead=ahead)]
    if not refusing:
        for _, window in asked:
            window.grant()
        return None, micros
    starts = {place: window.earliest(ahead=ahead) for place, window in refusing}
    until, place = max((windows[abs(place) - 1].begins(slot), abs(place)) for place, slot in starts.items())
    if place in starts:  # Only where it will stand in line: a promise elsewhere would keep others out for nobody.
        windows[place - 1].promise(starts[place])
    return place - 1, until


def _byte_order() -> models.F | Collate:
    vendor = connections[router.db_for_write(RateCounter)].vendor
    return Collate("key", "C") if vendor == "postgresql" else models.F("key")


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
