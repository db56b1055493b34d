"""The refresh: every minute the outbox is added to the rollups, and `as_of` says up to when they are complete.

Deltas commit with their events and vanish with their addition, so that neither commit order, nor a killed worker, nor
a task that runs twice can lose or double anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, router, transaction

from analytics import buckets, outbox
from analytics.buckets import Place, Sums
from analytics.models import MEASURES, RefreshState, RollupDimDay, RollupHour
from queues.engine import log, records

SCOPE = "rollups"
TAKE = 20_000
"""Rows of the outbox in one transaction."""
RUN_MAX = 100_000
"""Rows in one run; if more remain, `as_of` stays where it was and the next run goes on."""
LOCK = 7_203_611
"""Key of PostgreSQL's advisory lock: refreshers take turns instead of waiting for each other's rows."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Rows added, and whether the outbox was emptied."""

    added: int
    complete: bool


def refresh(*, now: datetime, limit: int = RUN_MAX, take: int = TAKE) -> Refreshed:
    """Add the outbox to the rollups. `now` is the moment before the call: what was confirmed before it is included."""
    using = router.db_for_write(RollupHour)
    added = 0
    while added < limit:
        with transaction.atomic(using=using):
            if connections[using].vendor == "postgresql":
                with connections[using].cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            rows = outbox.take(limit=take, using=using)
            add(buckets.total(rows), using=using)
            complete = len(rows) < take
            if complete:
                _arrived(now, using)
        added += len(rows)
        if complete:
            return Refreshed(added, True)
    logger.warning("analytics.outbox_remains", added=added)
    return Refreshed(added, False)


def as_of() -> datetime | None:
    """Everything confirmed as recorded before this is in the rollups; None before the first refresh."""
    return RefreshState.objects.filter(scope=SCOPE).values_list("as_of", flat=True).first()


def add(sums: Mapping[Place, Sums], *, using: str) -> None:
    """Add to the rows of both rollups, in the order of their keys, so that two of these do not deadlock."""
    hours = sorted((place.campaign_id, place.hour, place.day, *given) for place, given in sums.items() if place.hour)
    days = sorted(
        (place.campaign_id, place.dimension, place.day, place.value, *given)
        for place, given in sums.items()
        if not place.hour
    )
    _upsert(RollupHour, ("campaign_id", "hour"), ("campaign_id", "hour", "day"), hours, using)
    key = ("campaign_id", "dimension", "day", "value")
    _upsert(RollupDimDay, key, key, days, using)


def _upsert(
    model: type[RollupHour] | type[RollupDimDay],
    key: tuple[str, ...],
    places: tuple[str, ...],
    rows: list[tuple[object, ...]],
    using: str,
) -> None:
    """By hand: the ORM's upsert can replace, not add."""
    if not rows:
        return
    table, columns = model._meta.db_table, (*places, *MEASURES)
    source, names = records.of(using, model, columns), ", ".join(columns)
    adding = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in MEASURES)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {source.source} WHERE true "  # noqa: S608
            f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {adding}",
            [source.dump([dict(zip(columns, row, strict=True)) for row in rows])],
        )


def _arrived(now: datetime, using: str) -> None:
    """Note it; never backwards, whichever of two refreshers comes last."""
    RefreshState.objects.using(using).bulk_create([RefreshState(scope=SCOPE)], ignore_conflicts=True)
    state = RefreshState.objects.using(using).filter(scope=SCOPE)
    state.exclude(as_of__gt=now).update(as_of=now, succeeded_at=now)
