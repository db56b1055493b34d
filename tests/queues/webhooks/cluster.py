"""A PostgreSQL of one test's own, to be stopped, locked and filled; its tables are those of the test's database."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests import postgres

ROLE = "redrive_app"


@dataclass(frozen=True)
class Cluster:
    """`url` is for the application, whose role is no superuser; `root` for the test."""

    port: int
    data: Path

    @property
    def url(self) -> str:
        return f"postgres://{ROLE}@127.0.0.1:{self.port}/app"

    @property
    def root(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/app"

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """As the superuser, each by itself; the last one's rows."""
        with psycopg.connect(self.root, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[arg-type, call-overload]
            return cursor.fetchall() if cursor.description else []

    def crash(self) -> None:
        """Every process of the server ends at once, without a checkpoint."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """With the options it had; returns when it answers."""
        self._control("restart", "-l", str(self.data.parent / "log"))

    def sessions_end(self) -> None:
        """The application's sessions are cut."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")

    def _control(self, *words: str) -> None:
        binaries = postgres.binaries_folder()
        assert binaries is not None
        owner = "postgres" if os.geteuid() == 0 else None
        postgres._run([str(binaries / "pg_ctl"), "-D", str(self.data), "-w", "-t", "30", *words], owner)


@contextmanager
def like(url: str) -> Iterator[Cluster | None]:
    """A cluster with the empty tables of the database at `url`; None where none can be had."""
    with postgres.temporary_cluster() as port:
        if port is None:
            yield None
            return
        with psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN")  # type: ignore[arg-type]
            connection.execute(f"CREATE DATABASE app OWNER {ROLE}")  # type: ignore[arg-type]
            (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        cluster = Cluster(port, Path(data))
        tables = subprocess.run(["pg_dump", "--schema-only", "--no-owner", url], check=True, capture_output=True)
        line = ["psql", "-q", "-v", "ON_ERROR_STOP=1", cluster.url]
        subprocess.run(line, input=tables.stdout, check=True, capture_output=True)
        yield cluster
