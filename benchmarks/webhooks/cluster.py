"""A PostgreSQL of the measurement's own, with its default durability: its CPU time is nobody else's.

Sessions that come and go within milliseconds (`CONN_MAX_AGE=0`) count too: the server inherits the time of its dead
children.
"""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString, cast

import psycopg

from benchmarks.webhooks import cpu

OPTIONS = "-c shared_preload_libraries=pg_stat_statements -c max_connections=100"


@dataclass(frozen=True)
class Cluster:
    """`pid` is the server's."""

    port: int
    pid: int

    def url(self, database: str) -> str:
        """The DATABASE_URL of one of its databases."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, database: str, *statements: str) -> list[tuple[object, ...]]:
        """Our own statements, each by itself; the last one's rows."""
        rows: list[tuple[object, ...]] = []
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(cast("LiteralString", statement))
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def number(self, database: str, query: str) -> float:
        """One figure."""
        return float(str(self.run(database, query)[0][0]))

    def track(self, what: str) -> None:
        """Count statements ("top") or do not ("none")."""
        self.run("postgres", f"ALTER SYSTEM SET pg_stat_statements.track = '{what}'", "SELECT pg_reload_conf()")
        time.sleep(0.2)  # sessions read it between two statements

    def cpu(self) -> float:
        """CPU seconds of all its processes so far, dead ones included."""
        return cpu.of_tree(self.pid)


@contextmanager
def started() -> Iterator[Cluster]:
    """The cluster, removed afterwards."""
    binaries = _binaries()
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    folder = pathlib.Path(tempfile.mkdtemp(prefix="redrive-bench-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if owner:
        shutil.chown(folder, owner)
    control = [str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-w", "-t", "60"]
    try:
        made = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _as(owner, made)
        options = f"-p {port} -h 127.0.0.1 -k {folder} {OPTIONS}"
        _as(owner, [*control, "-o", options, "-l", str(folder / "log"), "start"])
        try:
            cluster = Cluster(port, int((folder / "data" / "postmaster.pid").read_text().splitlines()[0]))
            cluster.track("none")
            yield cluster
        finally:
            _as(owner, [*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> pathlib.Path:
    if found := shutil.which("initdb"):
        return pathlib.Path(found).resolve().parent
    hidden = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not hidden:
        raise SystemExit("There is no PostgreSQL here: initdb was not found.")
    return hidden[-1]


def _as(owner: str | None, command: list[str]) -> None:
    group = {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []} if owner else {}
    # Not a pipe: the server would keep it open.
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **group)  # type: ignore[call-overload]
