"""What is left of rate limits, to be told to callers: as of now, and by the next moment somebody else may have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from queues.engine import limiter
from queues.engine.limiter import RateCounter
from queues.engine.registry import Limit
from queues.engine.window import PARTS, SECOND, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """Of one limit: `units` of `limit` in `window_seconds` are left, and in `reset_seconds` there are more."""

    name: str
    limit: int
    window_seconds: int
    units: int
    reset_seconds: int
    """0 if all are there."""


def of(limits: Sequence[Limit], *, now: datetime) -> list[Remaining]:
    """In one query, in the order given. Promises to those who wait in line are not looked at."""
    rows = RateCounter.objects.in_bulk([limit.key for limit in limits])
    return [_of(limit, rows.get(limit.key), now=now) for limit in limits]


def _of(limit: Limit, row: RateCounter | None, *, now: datetime) -> Remaining:
    units, seconds = limiter.allowance(limit.name)
    slots, was = (row.slots, row.window_seconds) if row is not None else ({}, 0)
    window = Window.load(limit=units, length=seconds, slots=slots, promises=(), was=was)
    micros = int(now.timestamp() * SECOND)
    window.forget(micros)
    leaves = (window.begins(min(window.slots) + PARTS + 1) - micros) / SECOND if window.slots else 0
    return Remaining(
        name=limit.name,
        limit=units,
        window_seconds=seconds,
        units=max(units - sum(window.slots.values()), 0),
        reset_seconds=max(math.ceil(leaves), 0),
    )
