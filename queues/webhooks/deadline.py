"""Database work that must end within seconds, whatever state the database is in: for who is waited for by Stripe.

A lock is waited for by the database's own time-out. A server that stands still, or a network that swallows packets,
keeps none: there one thread of ours cuts connections whose time is up.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 2
"""The shortest that libpq knows."""
SECONDS = 2.0
"""After this a connection to PostgreSQL is cut."""
SQLITE_LOCK_MS = 2000
LOOK_SECONDS = 0.1
IDLE_LOOKS = 100
"""Looks with nothing to watch, after which the thread ends."""

_lock = threading.Lock()
_watched: dict[int, tuple[float, BaseDatabaseWrapper]] = {}
_watcher: threading.Thread | None = None


@contextmanager
def soon(
    connection: BaseDatabaseWrapper, *, seconds: float = SECONDS, sqlite_lock_ms: int = SQLITE_LOCK_MS
) -> Iterator[None]:
    """What this thread does with the connection inside the block ends in time, or fails with a DatabaseError.

    PostgreSQL's wait for locks is left to the statement (`receive.sql`), and to the cut.
    """
    if connection.vendor == "postgresql":
        with _quick_connect(connection), _cut_after(seconds, connection):
            connection.close_if_health_check_failed()
            if threading.get_ident() not in _watched:  # the check itself was cut: do not begin with a new connection
                raise OperationalError("the database does not answer")
            yield
        return
    connection.ensure_connection()
    raw: Any = connection.connection
    assert isinstance(raw, sqlite3.Connection)
    (before,) = raw.execute("PRAGMA busy_timeout").fetchone()
    raw.execute(f"PRAGMA busy_timeout = {int(sqlite_lock_ms)}")
    try:
        yield
    finally:
        if connection.connection is raw:  # django-q2's broker may have closed it meanwhile
            raw.execute(f"PRAGMA busy_timeout = {int(before)}")


@contextmanager
def _quick_connect(connection: BaseDatabaseWrapper) -> Iterator[None]:
    settings = connection.settings_dict  # this thread's own; what it holds is shared
    connection.settings_dict = {**settings, "OPTIONS": {**settings["OPTIONS"], "connect_timeout": CONNECT_SECONDS}}
    try:
        yield
    finally:
        connection.settings_dict = settings


@contextmanager
def _cut_after(seconds: float, connection: BaseDatabaseWrapper) -> Iterator[None]:
    key = threading.get_ident()
    with _lock:
        _watched[key] = (time.monotonic() + seconds, connection)
        _ensure_watcher()
    try:
        yield
    finally:
        with _lock:  # held while cutting, so that no later work on this connection is cut
            _watched.pop(key, None)


def _ensure_watcher() -> None:
    global _watcher
    if _watcher is None or not _watcher.is_alive():
        _watcher = threading.Thread(target=_watch, daemon=True, name="database-deadline")
        _watcher.start()


def _watch() -> None:
    global _watcher
    idle = 0
    while True:
        time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        with _lock:
            idle = 0 if _watched else idle + 1
            if idle > IDLE_LOOKS:
                _watcher = None
                return
            for key, (until, connection) in list(_watched.items()):
                if until < now:
                    del _watched[key]
                    _cut(connection)


def _cut(connection: BaseDatabaseWrapper) -> None:
    try:
        with socket.socket(fileno=os.dup(connection.connection.fileno())) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    except Exception as error:  # noqa: BLE001  (closed already, not connected yet: whatever it is, the thread goes on)
        log.warning("database.not_cut", words=repr(error))
    else:
        log.warning("database.cut", words="it did not answer in time")
