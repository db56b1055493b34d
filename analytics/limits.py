"""Limits on a connection, so that no reader waits for a database that is slow, stuck or silent.

cut      one moment of the database for several questions
budget   the database itself gives a statement up (PostgreSQL: statement_timeout; SQLite: a progress handler)
watched  the connection is torn down if the database does not even say that
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

SQLITE_STEPS = 10_000
"""Virtual machine steps between two looks at the clock: a fraction of a millisecond."""


@contextmanager
def cut(using: str) -> Iterator[bool]:
    """Everything read inside is of one moment, and nothing is written. Gives whether the transaction is its own."""
    connection = connections[using]
    if connection.in_atomic_block:  # the caller's
        yield False
    elif connection.vendor == "postgresql":
        with transaction.atomic(using=using):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield True
    else:
        # Not `atomic`: that begins as a writer, and readers would wait for the one writer there can be.
        raw = _sqlite(connection)
        raw.execute("BEGIN DEFERRED")
        try:
            yield True
        finally:
            raw.rollback()


@contextmanager
def budget(using: str, *, seconds: float, restore: bool = True) -> Iterator[None]:
    """The database gives up a statement that takes longer. Inside `cut`; what fails leaves the cut usable.

    `restore`: take the limit back afterwards; not needed where the transaction is the cut's own and ends with it.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        with transaction.atomic(using=using), connection.cursor() as cursor:
            before = ""
            if restore:
                cursor.execute("SELECT current_setting('statement_timeout')")
                before = cursor.fetchone()[0]
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(max(int(seconds * 1000), 1))])
            yield
            if restore:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
        return
    raw = _sqlite(connection)
    deadline = time.monotonic() + seconds
    raw.set_progress_handler(lambda: int(time.monotonic() > deadline), SQLITE_STEPS)
    try:
        with hurried(using, seconds=seconds):
            yield
    finally:
        raw.set_progress_handler(None, 0)


@contextmanager
def hurried(using: str, *, seconds: float) -> Iterator[None]:
    """A write that can be done without does not wait long for SQLite's one writer."""
    connection = connections[using]
    if connection.vendor == "postgresql":
        yield
        return
    raw = _sqlite(connection)
    patience = raw.execute("PRAGMA busy_timeout").fetchone()[0]
    raw.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout = {int(patience)}")


@contextmanager
def watched(using: str, *, seconds: float) -> Iterator[None]:
    """Shut the connection's socket if this takes longer: the statement then fails instead of waiting for ever."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    timer = threading.Timer(seconds, _hang_up, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def gave_up(error: BaseException) -> bool:
    """Whether the database ended the statement because its time was up."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", "") == "57014" or "interrupted" in str(cause)


def _hang_up(connection: BaseDatabaseWrapper) -> None:
    raw = connection.connection
    if raw is None or raw.closed:
        return
    with socket.socket(fileno=os.dup(raw.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _sqlite(connection: BaseDatabaseWrapper) -> sqlite3.Connection:
    connection.ensure_connection()
    raw = connection.connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
