"""Enqueue: create rows inside the caller's transaction, once for each idempotency key, in one statement for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, models, router

from queues.engine import records
from queues.engine.item import QueueItem
from queues.engine.tombstones import Tombstone


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key stands for now: a row made by this call, one that was there before, or one that is gone."""

    item_id: int
    repeated: bool = False
    content_hash: str = ""
    """Of the earlier content, if `repeated`."""
    buried: str = ""
    """The final status, if only a tombstone is left."""


def insert(queue: str, model: type[QueueItem], rows: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """One row a mapping (column → value, the same columns in each, `idempotency_key` among them); in order.

    A key that a concurrent transaction is just inserting is waited for. Keys that begin with `auto:` are fresh by making.
    """
    if not rows:
        return []
    connection = connections[router.db_for_write(model)]
    fields: dict[str, models.Field[Any, Any]] = records.fields_of(model, list(rows[0]))
    names = ", ".join(f'"{column}"' for column in fields)
    sql = (
        f"INSERT INTO {model._meta.db_table} ({names}) SELECT {names} FROM {records.table(connection, fields)}"
        " WHERE true ON CONFLICT (idempotency_key) DO NOTHING RETURNING id, idempotency_key"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [records.dump(connection, fields, rows)])
        made = {key: item_id for item_id, key in cursor.fetchall()}
    given = [key for row in rows if not (key := row["idempotency_key"]).startswith("auto:")]
    buried = _buried(queue, model, given, made) if given else {}
    earlier = [key for key in given if key not in made and key not in buried]
    kept = model._default_manager.filter(idempotency_key__in=earlier) if earlier else model._default_manager.none()
    found = {key: (pk, content) for pk, key, content in kept.values_list("pk", "idempotency_key", "content_hash")}
    entries: list[Entry] = []
    for row in rows:
        key = row["idempotency_key"]
        if key in buried:
            entries.append(buried[key])
        elif key in made:
            entries.append(Entry(made[key]))
            found[key] = made.pop(key), row["content_hash"]  # the same key twice in one call
        else:
            entries.append(Entry(found[key][0], repeated=True, content_hash=found[key][1]))
    return entries


def _buried(queue: str, model: type[QueueItem], keys: Sequence[str], made: dict[str, int]) -> dict[str, Entry]:
    """Keys whose row is gone; looked up after the insert, so that a burial in between is seen, and the insert undone."""
    stones = Tombstone.objects.filter(queue=queue, key__in=keys)
    buried = {
        stone.key: Entry(stone.item_id, repeated=True, content_hash=stone.content_hash, buried=stone.status)
        for stone in stones
    }
    undone = [made.pop(key) for key in buried if key in made]
    if undone:
        model._default_manager.filter(pk__in=undone).delete()
    return buried
