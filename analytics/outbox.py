"""The delta outbox: appended with the events, taken by the refresh. Plain appends only: no writer waits for another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from django.db import connections

from analytics.buckets import Place, Sums
from analytics.models import MEASURES, RollupDelta
from queues.engine import records

COLUMNS = ("campaign_id", "hour", "day", "dimension", "value", *MEASURES)


def append(deltas: Mapping[Place, Sums], *, using: str) -> None:
    """Add rows inside the transaction of what they count."""
    if not deltas:
        return
    source = records.of(using, RollupDelta, COLUMNS)
    names = ", ".join(COLUMNS)
    rows = [dict(zip(COLUMNS, (*place, *sums), strict=True)) for place, sums in deltas.items()]
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {RollupDelta._meta.db_table} ({names}) SELECT {names} FROM {source.source} WHERE true",  # noqa: S608
            [source.dump(rows)],
        )


def take(*, limit: int, using: str) -> list[tuple[Place, Sums]]:
    """Remove the oldest rows and return them, inside the transaction that adds them to the rollups."""
    table, names = RollupDelta._meta.db_table, ", ".join(COLUMNS)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT %s) RETURNING {names}",  # noqa: S608
            [limit],
        )
        rows = cursor.fetchall()
    return [(_place(*row[:5]), list(row[5:])) for row in rows]


def _place(campaign_id: int, hour: Any, day: Any, dimension: str, value: str) -> Place:
    """SQLite gives text, or a time without its zone, which is UTC."""
    if isinstance(day, str):
        day = date.fromisoformat(day)
    if isinstance(hour, str):
        hour = datetime.fromisoformat(hour)
    if hour is not None and hour.tzinfo is None:
        hour = hour.replace(tzinfo=UTC)
    return Place(campaign_id, hour, day, dimension, value)
