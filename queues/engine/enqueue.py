"""Enqueue: create rows inside the caller's transaction, once for each idempotency key, in one statement for many."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction

from queues.engine import origin, records, spans, statements
from queues.engine.item import QueueItem
from queues.engine.states import Status
from queues.engine.tombstones import Tombstone

AT_ONCE = 200
"""Rows of one statement: PostgreSQL then keeps its parameter in memory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key stands for now: a row made by this call, one that was there before, or one that is gone."""

    item_id: int
    repeated: bool = False
    content_hash: str = ""
    """Of the earlier content, if `repeated`."""
    buried: str = ""
    """The final status, if only a tombstone is left."""


def insert(
    queue: str, model: type[QueueItem], rows: Sequence[Mapping[str, Any]], *, keys: Sequence[str] | None = None
) -> list[Entry]:
    """One row a mapping (column → value, the same columns in each, `idempotency_key` among them); all or none.

    A key that a concurrent transaction is just inserting is waited for. One statement for 200 rows, and a look-up only
    for keys that were used before. `keys`: of rows that are only made when they are asked for, so that PostgreSQL
    stores some while the next are being made.
    """
    with spans.span("enqueue", kind="producer", queue=queue, items=len(rows)):
        return _insert_all(queue, model, rows, keys)


def _insert_all(
    queue: str, model: type[QueueItem], rows: Sequence[Mapping[str, Any]], keys: Sequence[str] | None
) -> list[Entry]:
    alias = router.db_for_write(model)
    if len(rows) <= AT_ONCE:
        return _insert(alias, queue, model, list(rows)) if rows else []
    # Parts, too, in the order of the keys: see `_statement`.
    keys = keys or [row["idempotency_key"] for row in rows]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    entries: dict[int, Entry] = {}
    sent = []
    with transaction.atomic(using=alias), ExitStack() as cursors:
        with statements.pipeline(connections[alias]):
            for places in itertools.batched(order, AT_ONCE):
                part = [rows[place] for place in places]
                cursor = cursors.enter_context(statements.cursor(connections[alias]))
                _send(cursor, alias, queue, model, part)
                sent.append((places, part, cursor))
        for places, part, cursor in sent:
            entries.update(zip(places, _entries(queue, model, part, dict(cursor.fetchall())), strict=True))
    return [entries[place] for place in range(len(rows))]


def never(row: Mapping[str, Any], *, code: str, words: str, now: datetime) -> dict[str, Any]:
    """The row of an item that is not to run at all, and why: kept as cancelled, so that staff see that it was asked."""
    return {**row, "status": Status.CANCELLED.value, "cancelled_at": now, "last_code": code, "last_words": words}


def _insert(alias: str, queue: str, model: type[QueueItem], rows: Sequence[Mapping[str, Any]]) -> list[Entry]:
    with statements.cursor(connections[alias]) as cursor:
        _send(cursor, alias, queue, model, rows)
        made = dict(cursor.fetchall())
    return _entries(queue, model, rows, made)


def _send(cursor: Any, alias: str, queue: str, model: type[QueueItem], rows: Sequence[Mapping[str, Any]]) -> None:
    if (said := origin.current()) is not None:
        rows = [{**row, "origin": said} for row in rows]
    records_, sql = _statement(alias, model, tuple(rows[0]))
    cursor.execute(sql, [records_.dump(rows), queue])


def _entries(
    queue: str, model: type[QueueItem], rows: Sequence[Mapping[str, Any]], made: dict[str, int]
) -> list[Entry]:
    """What each row's key stands for; `made`: the keys that were new, with their ids."""
    known = _known(queue, model, [key for row in rows if (key := row["idempotency_key"]) not in made])
    entries: list[Entry] = []
    for row in rows:
        key = row["idempotency_key"]
        if key in made:
            entries.append(Entry(made.pop(key)))
            known[key] = Entry(entries[-1].item_id, repeated=True, content_hash=row.get("content_hash", ""))
        elif key in known:
            entries.append(known[key])
        else:  # it was deleted in the moment between: then there is nothing it repeats
            entries += insert(queue, model, [row])
    return entries


@functools.cache
def _statement(alias: str, model: type[QueueItem], columns: tuple[str, ...]) -> tuple[records.Records, str]:
    source = records.of(alias, model, columns)
    names = ", ".join(f'"{column}"' for column in columns)
    binary = ' COLLATE "C"' if connections[alias].vendor == "postgresql" else ""
    return source, (
        f"INSERT INTO {model._meta.db_table} ({names}) SELECT {names} FROM {source.source} WHERE NOT EXISTS"
        f" (SELECT 1 FROM {Tombstone._meta.db_table} s WHERE s.queue = %s AND s.key = v.idempotency_key)"
        # In the order of the keys, so that two callers with the same keys wait for each other and do not deadlock.
        f" ORDER BY v.idempotency_key{binary} ON CONFLICT (idempotency_key) DO NOTHING RETURNING idempotency_key, id"
    )


def _known(queue: str, model: type[QueueItem], keys: Sequence[str]) -> dict[str, Entry]:
    """What earlier calls made of these keys. A row wins over its tombstone, which is written before the row goes."""
    if not keys:
        return {}
    stones = Tombstone.objects.filter(queue=queue, key__in=keys)
    known = {
        stone.key: Entry(stone.item_id, repeated=True, content_hash=stone.content_hash, buried=stone.status)
        for stone in stones
    }
    kept = model._default_manager.filter(idempotency_key__in=keys)
    for pk, key, content in kept.values_list("pk", "idempotency_key", "content_hash"):
        known[key] = Entry(pk, repeated=True, content_hash=content)
    return known
