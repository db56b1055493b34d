"""The rate limiter: `RateCounter` rows in the database, shared by all workers of all machines.

In no window of the given length are more than the limit granted, whatever the number of workers (see `window`).
A batch asks once: on PostgreSQL one statement (the function `queues_grant`), on SQLite one transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connections, models, router, transaction

from queues.engine.registry import Limit
from queues.engine.window import Window


class RateCounter(models.Model):
    """One key's window: `slots` and `promises` map a slot number to units (see `window`)."""

    key = models.CharField(max_length=400, primary_key=True)
    slots = models.JSONField(default=dict)
    promises = models.JSONField(default=dict)
    limit = models.PositiveIntegerField(default=0)
    window_seconds = models.PositiveIntegerField(default=0)
    used_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Want:
    """One item's wish: a unit of each of these limits, all or none.

    `ahead`: it was promised this time before, or is urgent, and so may pass those who wait in line.
    """

    limits: tuple[Limit, ...]
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to one `Want`: granted, or the limit that refused it and from when it can be granted."""

    granted: bool
    limit: str = ""
    until: datetime | None = None


def allowance(name: str) -> tuple[int, int]:
    """(limit, window in seconds) of a named limit. Raises KeyError for a name that `RATE_LIMITS` lacks."""
    limit, seconds = settings.RATE_LIMITS[name]
    return int(limit), int(seconds)


def grant(wants: Sequence[Want], *, at: datetime | None = None) -> list[Grant]:
    """Answer every want, in order. Each key is locked once, in sorted order; the time is the database's.

    `at` replaces the database's clock in tests. Inside a caller's transaction the keys stay locked until its end.
    """
    keys = sorted({(limit.key, limit.name) for want in wants for limit in want.limits})
    if not keys:
        return [Grant(True) for _ in wants]
    places = {key: index for index, (key, _) in enumerate(keys)}
    asked = [[1, int(want.ahead), sorted({places[limit.key] for limit in want.limits})] for want in wants]
    known = [[key, *allowance(name)] for key, name in keys]
    using = router.db_for_write(RateCounter)
    answer = _grant_postgres if connections[using].vendor == "postgresql" else _grant_sqlite
    return [
        Grant(place is None, "" if place is None else keys[place][1], _instant(until))
        for place, until in answer(using, known, asked, at)
    ]


def take(limits: Sequence[Limit], *, at: datetime | None = None) -> Grant:
    """One want by itself, for code that does not wait (a checkout): no promise is kept for who is refused."""
    return grant([Want(tuple(limits), ahead=True)], at=at)[0]


def give_back(limits: Sequence[Limit]) -> None:
    """Return one unit of each, granted a moment ago and not used. Never more than is there."""
    with transaction.atomic(using=router.db_for_write(RateCounter)):
        rows = RateCounter.objects.select_for_update().filter(key__in=[limit.key for limit in limits]).order_by("key")
        for row in rows:
            latest = max((slot for slot, units in row.slots.items() if units > 0), key=int, default=None)
            if latest is not None:
                row.slots[latest] -= 1
                row.save(update_fields=["slots"])


def clean(*, now: datetime) -> int:
    """Delete counters that hold nothing any more (daily)."""
    longest = max((seconds for _, seconds in settings.RATE_LIMITS.values()), default=0)
    idle = RateCounter.objects.filter(used_at__lt=now - timedelta(seconds=2 * longest + 3600))
    return idle.delete()[0]


def _grant_postgres(
    using: str, known: list[list[Any]], asked: list[list[Any]], at: datetime | None
) -> list[tuple[int | None, float | None]]:
    flat = [number for units, ahead, places in asked for number in (units, ahead, len(places), *(p + 1 for p in places))]
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT queues_grant(%s::text[], %s::int[], %s::float8[], %s::int[], %s::timestamptz)",
            [[key for key, _, _ in known], [limit for _, limit, _ in known], [s for _, _, s in known], flat, at],
        )
        answer = cursor.fetchone()[0]
    return [(place, until) for place, until in (json.loads(answer) if isinstance(answer, str) else answer)]


def _grant_sqlite(
    using: str, known: list[list[Any]], asked: list[list[Any]], at: datetime | None
) -> list[tuple[int | None, float | None]]:
    with transaction.atomic(using=using):
        now = at.timestamp() if at else time.time()
        rows: Mapping[str, RateCounter] = RateCounter.objects.in_bulk([key for key, _, _ in known])
        windows = []
        for key, limit, length in known:
            row = rows.get(key)
            window = Window.load(
                limit=limit, length=length, slots=row.slots if row else {}, promises=row.promises if row else {}
            )
            window.forget(window.slot(now))
            windows.append(window)
        answers = [_answer(windows, units, bool(ahead), places, now) for units, ahead, places in asked]
        RateCounter.objects.bulk_create(
            [
                RateCounter(
                    key=key,
                    slots=window.slots,
                    promises=window.promises,
                    limit=limit,
                    window_seconds=length,
                    used_at=datetime.fromtimestamp(now, UTC),
                )
                for (key, limit, length), window in zip(known, windows, strict=True)
            ],
            update_conflicts=True,
            unique_fields=["key"],
            update_fields=["slots", "promises", "limit", "window_seconds", "used_at"],
        )
    return answers


def _answer(
    windows: list[Window], units: int, ahead: bool, places: list[int], now: float
) -> tuple[int | None, float | None]:
    """Grant on all of `places` or on none; refused, the place that makes it wait longest and until when."""
    asked = [(place, windows[place], windows[place].slot(now)) for place in places]
    refusing = [entry for entry in asked if not entry[1].allows(units, slot=entry[2], ahead=ahead)]
    if not refusing:
        for _, window, slot in asked:
            window.grant(units, slot=slot)
        return None, None
    waits = [(window.starts(window.promise(units, slot=slot)), place) for place, window, slot in refusing]
    until, place = max(waits)
    return place, max(until, now)


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
