"""Claim: take due items for this worker, in one statement, without waiting for any other worker."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, OperationalError, connections, router, transaction

from queues.engine import statements
from queues.engine.item import QueueItem
from queues.engine.states import Priority, Status

LEASE = timedelta(seconds=30)
"""How long a claim holds without being renewed."""


EMPTY: dict[Any, Callable[[], Any]] = {"[]": list, "{}": dict, None: lambda: None}


def claim[Item: QueueItem](
    model: type[Item],
    *,
    limit: int,
    worker: str,
    now: datetime,
    without_kinds: Sequence[str] = (),
    lease: timedelta = LEASE,
) -> list[Item]:
    """Up to `limit` due items, most urgent and then longest due first, each leased to `worker` and its attempt counted.

    Two workers never get the same item. `without_kinds` are paused. With lanes, at most one item a lane is taken,
    and a lane that another worker took in the same moment is left to it.
    """
    if not model.LANES:
        return _claim(model, limit=limit, worker=worker, now=now, without_kinds=without_kinds, lease=lease)
    for fewer in (limit, 1):
        try:
            with transaction.atomic(using=router.db_for_write(model)):
                return _claim(model, limit=fewer, worker=worker, now=now, without_kinds=without_kinds, lease=lease)
        except (IntegrityError, OperationalError) as error:
            # Another worker took one of these lanes between our look and our update, or waits for one of ours while
            # we wait for one of its: try for a single item, then leave the lanes to it.
            if isinstance(error, OperationalError) and "deadlock" not in str(error):
                raise
    return []


def renew(model: type[QueueItem], *, items: Iterable[QueueItem], now: datetime, lease: timedelta = LEASE) -> set[int]:
    """Prolong the leases that are still held on these items; returns the ids of those."""
    tokens = {item.pk: item.lease_token for item in items}
    held = model._default_manager.filter(pk__in=tokens, lease_token__in=set(tokens.values()), status=Status.PROCESSING)
    held.update(leased_until=now + lease)
    return set(held.filter(leased_until=now + lease).values_list("pk", flat=True))


def _claim[Item: QueueItem](
    model: type[Item], *, limit: int, worker: str, now: datetime, without_kinds: Sequence[str], lease: timedelta
) -> list[Item]:
    connection = connections[router.db_for_write(model)]
    table = connection.ops.quote_name(model._meta.db_table)
    postgres = connection.vendor == "postgresql"
    adapt = connection.ops.adapt_datetimefield_value
    # Between its expiry and the next sweep an item is neither run nor in anybody's way.
    wanted = " AND ({0}.expires_at IS NULL OR {0}.expires_at > %s)"
    if without_kinds:
        wanted += f" AND {{0}}.kind NOT IN ({', '.join(['%s'] * len(without_kinds))})"
    lanes = (
        f" AND (lane IS NULL OR (NOT EXISTS (SELECT 1 FROM {table} r WHERE r.lane = q.lane AND r.status = 'processing')"
        f" AND NOT EXISTS (SELECT 1 FROM {table} e WHERE e.lane = q.lane AND e.status IN ('pending', 'retrying')"
        f" AND e.due_at <= %s{wanted.format('e')}"
        " AND (e.priority, e.due_at, e.id) < (q.priority, q.due_at, q.id))))"
        if model.LANES
        else ""
    )
    # One index probe a priority: a row of another priority, or one not yet due, is never looked at.
    probes = [
        f"SELECT id FROM {table} q WHERE status IN ('pending', 'retrying') AND priority = {level} AND due_at <= %s"
        f"{wanted.format('q')}{lanes} ORDER BY due_at, id LIMIT %s{' FOR UPDATE SKIP LOCKED' if postgres else ''}"
        for level in Priority.values
    ]
    asked = [adapt(now), adapt(now), *without_kinds]
    probe_given = [*asked, *(asked if lanes else []), limit]
    candidates = " UNION ALL ".join(f"SELECT id FROM ({probe}) p{level}" for level, probe in enumerate(probes))
    token = uuid.uuid4()
    # Materialized: run once for each row of a nested loop, the locking sub-select would take more than its limit.
    sql = (
        f"WITH due AS MATERIALIZED (SELECT id FROM ({candidates}) c LIMIT %s)"
        f" UPDATE {table} SET status = 'processing', attempts = attempts + 1, runs = runs + 1, version = version + 1,"
        " lease_token = %s, leased_until = %s, leased_by = %s"
        " WHERE id IN (SELECT id FROM due)"
        f" RETURNING {', '.join(connection.ops.quote_name(str(f.column)) for f in model._meta.concrete_fields)}"
    )
    held = [token if postgres else token.hex, adapt(now + lease), worker]
    with statements.cursor(connection) as cursor:
        cursor.execute(sql, [*probe_given * len(probes), limit, *held])
        rows = cursor.fetchall()
    return sorted(_items(model, connection, rows), key=lambda item: (item.priority, item.due_at, item.pk))


def _items[Item: QueueItem](model: type[Item], connection: Any, rows: list[tuple[Any, ...]]) -> list[Item]:
    """Rows as the ORM would read them (SQLite needs its converters; PostgreSQL's driver gives them ready but JSON)."""
    fields = list(model._meta.concrete_fields)
    names = [field.attname for field in fields]
    converters = [
        (index, [*connection.ops.get_db_converters(col), *field.get_db_converters(connection)], col)
        for index, field in enumerate(fields)
        for col in [field.get_col(model._meta.db_table)]
    ]
    converters = [entry for entry in converters if entry[1]]
    items = []
    for row in rows:
        values = list(row)
        for index, functions, col in converters:
            if values[index] in EMPTY:  # most JSON columns of most rows: a tenth of the cost of parsing
                values[index] = EMPTY[values[index]]()
                continue
            for function in functions:
                values[index] = function(values[index], col, connection)
        items.append(model.from_db(connection.alias, names, values))
    return items
