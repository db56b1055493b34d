"""The inbox: an event is stored once for its id, in one statement, within a few seconds or not at all.

    store ── stored ──▶ its row's id
      ├──── seen before (a row, or the tombstone of one) ──▶ None
      └──── database gone, locked, full, frozen ──▶ NotStored

While storing fails, one caller at a time tries, shortly, and the others are refused at once: otherwise each would wait
its turn behind those that wait for the same lock.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from queues.engine import origin, spans, statements, wake
from queues.engine.tombstones import Tombstone
from queues.webhooks import deadline
from queues.webhooks.models import WebhookEvent
from queues.webhooks.parsing import Parsed

log = structlog.get_logger(__name__)

QUEUE = "webhook"
PROVIDER = "stripe"

LOCK_MS = {"postgresql": 1700, "sqlite": 4000}
"""How long a receipt waits for others' locks. SQLite has one writer, whose transactions may take seconds."""
PROBE_MS = 250
"""The same while storing fails."""
PROBE_SECONDS = 1.0


class NotStored(Exception):
    """The database did not take it; the provider should send it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How an event came to us."""

    source: str = WebhookEvent.Source.RECEIVED.value
    signed_at: datetime | None = None
    signed_with: str = ""


class _Trouble:
    """Whether storing failed last, and who may try meanwhile."""

    def __init__(self) -> None:
        self.failing = False
        self.probe = threading.Lock()


_trouble = _Trouble()
COLUMNS = (
    "idempotency_key",
    "provider",
    "event_id",
    "kind",
    "source",
    "payload",
    "occurred_at",
    "api_version",
    "livemode",
    "account",
    "object_id",
    "lane",
    "thin",
    "snapshot_event",
    "signed_at",
    "signed_with",
    "origin",
)


def receive(*, parsed: Parsed, body: bytes, arrival: Arrival) -> int | None:
    """Store and wake the workers, also for an event seen before. Raises NotStored within seconds."""
    with spans.span("enqueue", kind="producer", queue=QUEUE, items=1):
        return _receive(parsed, body, arrival)


def _receive(parsed: Parsed, body: bytes, arrival: Arrival) -> int | None:
    connection = connections[router.db_for_write(WebhookEvent)]
    if not _trouble.failing:
        made = _in_time(connection, parsed, body, arrival, wait_ms=LOCK_MS[connection.vendor], seconds=deadline.SECONDS)
    elif _trouble.probe.acquire(blocking=False):
        try:
            made = _in_time(connection, parsed, body, arrival, wait_ms=PROBE_MS, seconds=PROBE_SECONDS)
        finally:
            _trouble.probe.release()
    else:
        raise NotStored("storing fails at the moment")
    _wake(connection)
    return made


def store(*, parsed: Parsed, body: bytes, arrival: Arrival) -> int | None:
    """The new row's id, or None if the event was seen before. In the caller's transaction, if there is one."""
    connection = connections[router.db_for_write(WebhookEvent)]
    return _store(connection, parsed, body, arrival, wait_ms=0)


def key_of(event_id: str, *, provider: str = PROVIDER) -> str:
    """The idempotency key of an event."""
    return f"{provider}:{event_id}"


def _wake(connection: BaseDatabaseWrapper) -> None:
    """The event is stored: whatever happens to the hint, the answer is yes."""
    try:
        with deadline.soon(connection):
            wake.soon(QUEUE)
    except (DatabaseError, InterfaceError) as error:
        log.warning("webhook.no_hint", words=type(error).__name__)


def _in_time(
    connection: BaseDatabaseWrapper, parsed: Parsed, body: bytes, arrival: Arrival, *, wait_ms: int, seconds: float
) -> int | None:
    try:
        with deadline.soon(connection, seconds=seconds, sqlite_lock_ms=wait_ms):
            made = _store(connection, parsed, body, arrival, wait_ms=wait_ms)
    except (DatabaseError, InterfaceError) as error:
        _trouble.failing = True
        raise NotStored(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error
    _trouble.failing = False
    return made


def _store(
    connection: BaseDatabaseWrapper, parsed: Parsed, body: bytes, arrival: Arrival, *, wait_ms: int
) -> int | None:
    values: list[str | bytes | bool | datetime | None] = [
        key_of(parsed.id),
        PROVIDER,
        parsed.id,
        parsed.type,
        arrival.source,
        body,
        parsed.created,
        parsed.api_version,
        parsed.livemode,
        parsed.account,
        parsed.object_id,
        parsed.lane,
        parsed.thin,
        parsed.snapshot_event,
        arrival.signed_at,
        arrival.signed_with,
        origin.current(),
    ]
    if connection.vendor == "postgresql":
        with statements.cursor(connection) as cursor:
            cursor.execute(_postgres(), [wait_ms, *values])
            row = cursor.fetchone()
    else:
        adapt = connection.ops.adapt_datetimefield_value
        with connection.cursor() as cursor:
            plain: list[Any] = [adapt(value) if isinstance(value, datetime) else value for value in values]
            cursor.execute(_sqlite(), [*plain, QUEUE, key_of(parsed.id)])
            row = cursor.fetchone()
    return row[0] if row else None


@functools.cache
def _postgres() -> str:
    return (
        "SELECT queues_receive(%s::int, %s::text, %s::text, %s::text, %s::text, %s::text, %s::bytea, %s::timestamptz,"
        " %s::text, %s::bool, %s::text, %s::text, %s::text, %s::bool, %s::text, %s::timestamptz, %s::text, %s::text)"
    )


@functools.cache
def _sqlite() -> str:
    marks = ", ".join(["%s"] * len(COLUMNS))
    return (
        f"INSERT INTO {WebhookEvent._meta.db_table} ({', '.join(COLUMNS)}) SELECT {marks} WHERE NOT EXISTS"  # noqa: S608
        f" (SELECT 1 FROM {Tombstone._meta.db_table} s WHERE s.queue = %s AND s.key = %s)"
        " ON CONFLICT (idempotency_key) DO NOTHING RETURNING id"
    )
