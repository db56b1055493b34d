"""A contender's web server as a process, with the CPU time of all of it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.webhooks import cpu, events, load
from benchmarks.webhooks.cluster import Cluster
from benchmarks.webhooks.contenders import FOLDER, ROOT, Contender

WORKERS, THREADS = 2, 4


@dataclass(frozen=True)
class Server:
    """`requests` are made before the clock starts."""

    contender: Contender
    port: int
    process: subprocess.Popen[bytes]

    def requests(self, count: int) -> list[bytes]:
        """New events for it."""
        return [events.request(self.contender.path, self.port) for _ in range(count)]

    def cpu(self) -> float:
        """CPU seconds of its processes so far."""
        return cpu.of_tree(self.process.pid)


@contextmanager
def served(contender: Contender, cluster: Cluster, **environment: str) -> Iterator[Server]:
    """It answers, and every thread of it has answered once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = [
        *(str(contender.python()), "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--no-ws", "--workers", str(WORKERS), "--blocking-threads", str(THREADS)),
        *("--blocking-threads-idle-timeout", "600", contender.application),
    ]
    with (FOLDER / f"{contender.database}.log").open("wb") as log:
        process = subprocess.Popen(
            line, cwd=ROOT, env=contender.environment(cluster, **environment), stdout=log, stderr=log
        )
        try:
            server = Server(contender, port, process)
            _warm(server)
            yield server
        finally:
            _end(process)


@contextmanager
def worker(contender: Contender, cluster: Cluster, *arguments: str, **environment: str) -> Iterator[None]:
    """One of Redrive's commands beside the server."""
    line = [str(contender.python()), "manage.py", *arguments]
    with (FOLDER / f"{contender.database}-worker.log").open("ab") as log:
        process = subprocess.Popen(
            line, cwd=ROOT, env=contender.environment(cluster, **environment), stdout=log, stderr=log
        )
        try:
            yield
        finally:
            _end(process)


def _warm(server: Server) -> None:
    deadline = time.monotonic() + 60
    while load.Connection(server.port).send(server.requests(1)[0]) != 200:
        if time.monotonic() > deadline or server.process.poll() is not None:
            raise SystemExit(f"{server.contender.name} does not answer; see var/bench/{server.contender.database}.log")
        time.sleep(0.1)
    load.closed(server.port, server.requests(80), connections=16)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=15)
        return
    process.kill()
    process.wait()


def statements(cluster: Cluster, server: Server, requests: Sequence[bytes]) -> float:
    """SQL statements an event, transactions' own among them, as PostgreSQL counts them."""
    database = server.contender.database
    cluster.track("top")
    cluster.run(database, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "SELECT pg_stat_statements_reset()")
    answers = load.closed(server.port, requests, connections=1)
    counted = cluster.number(
        database,
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
        " WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%'",
    )
    cluster.track("none")
    return counted / max(answers.accepted, 1)
