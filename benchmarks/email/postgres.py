"""Databases for the measurements, one per contender, and the CPU time PostgreSQL spends on them."""

from __future__ import annotations

import os
import pathlib
import threading
from types import TracebackType
from typing import LiteralString, Self, cast

import psycopg
from psycopg import conninfo, sql

SAMPLE_SECONDS = 0.1
KEPT_TABLES = ("django_migrations", "django_content_type", "auth_permission")
WRITERS = ("checkpointer", "background writer", "walwriter")

SERVER = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432")


def url(database: str) -> str:
    """Return the DATABASE_URL of one of our databases."""
    return f"{SERVER}/{database}"


def environment(database: str) -> dict[str, str]:
    """Return libpq's variables for `database`, for contenders that do not read DATABASE_URL."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    return {names[key]: str(value) for key, value in conninfo.conninfo_to_dict(url(database)).items() if key in names}


def connect(database: str) -> psycopg.Connection:
    """Open a connection outside any transaction."""
    return psycopg.connect(url(database), autocommit=True)


def create(database: str) -> None:
    """Make an empty `database`, instead of the one that may be there."""
    with connect("postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


def drop(database: str) -> None:
    """Remove `database`, whoever is connected."""
    with connect("postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def empty(database: str) -> None:
    """Remove all rows but Django's own, so that every run begins with the same small tables."""
    with connect(database) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        tables = [sql.Identifier(name) for (name,) in rows if name not in KEPT_TABLES]
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ").join(tables)))


def settle(database: str) -> None:
    """VACUUM ANALYZE and a checkpoint: what autovacuum would have done, before the clock starts."""
    with connect(database) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def execute(database: str, statement: str) -> None:
    """Run one of our own statements."""
    with connect(database) as connection:
        connection.execute(cast("LiteralString", statement))


def fetch(database: str, statement: str) -> list[tuple[object, ...]]:
    """Run one of our own queries."""
    with connect(database) as connection:
        return connection.execute(cast("LiteralString", statement)).fetchall()


def cut_sessions(database: str) -> int:
    """Terminate all sessions of `database`, as a fail-over of the server does; return how many there were."""
    with connect("postgres") as connection:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        return len(connection.execute(query, [database]).fetchall())


class CpuMeter:
    """CPU seconds of the server's processes that work for one database, and of its background writers.

    Others may be using the same server, so a session is known by the database's name in its process title. Sessions
    that came and went between two samples are missed: at most 0.1 s of each. None where the server is not local.
    """

    def __init__(self, *, database: str) -> None:
        self._mark = f" {database} "
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._strangers: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._first = dict(self._last)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.read()

    def read(self) -> float | None:
        """Stop and return the seconds since the start; call it before the workers close their sessions."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            self._sample()
        return sum(self._last[pid] - self._first.get(pid, 0) for pid in self._last) if self._last else None

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            if folder.name in self._strangers:
                continue
            try:
                title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if title.startswith("postgres: ") and (self._mark in title or title.strip().endswith(WRITERS)):
                    # Nanoseconds on a CPU; PostgreSQL's processes have one thread each.
                    self._last[int(folder.name)] = int((folder / "schedstat").read_text().split()[0]) / 1e9
                elif "postgres" not in title:
                    self._strangers.add(folder.name)
            except OSError:
                continue
