"""Receipt: how fast, at what cost, how late, and what a handler that takes a second does to it."""

from __future__ import annotations

import contextlib
import time

from benchmarks.email.trial import Measured
from benchmarks.webhooks import load, server
from benchmarks.webhooks.cluster import Cluster
from benchmarks.webhooks.contenders import REDRIVE, Contender

CONNECTIONS = 8
PER_SECOND = 10.0


def flood(contender: Contender, cluster: Cluster, *, count: int) -> Measured:
    """Eight connections, each sending its next event as soon as it was answered."""
    with server.served(contender, cluster) as served:
        requests = served.requests(count)
        cluster.run(contender.database, "CHECKPOINT")
        web, database = served.cpu(), cluster.cpu()
        answers = load.closed(served.port, requests, connections=CONNECTIONS)
        time.sleep(0.3)  # what the answer did not wait for (the wake-up) costs too
        web, database = served.cpu() - web, cluster.cpu() - database
        per_event = server.statements(cluster, served, served.requests(20))
    accepted = max(answers.accepted, 1)
    return {
        "accepted/s": answers.accepted / answers.seconds,
        "refused": float(sum(answers.refused.values())),
        "CPU ms an event": (web + database) / accepted * 1000,
        "of it PostgreSQL": database / accepted * 1000,
        "statements": per_event,
        "p50 ms": answers.percentile(0.5),
        "p99 ms": answers.percentile(0.99),
    }


def steady(contender: Contender, cluster: Cluster, *, count: int) -> Measured:
    """Ten a second by the clock."""
    with server.served(contender, cluster) as served:
        answers = load.steady(served.port, served.requests(count), per_second=PER_SECOND)
    return _late(answers)


def sleeping(contender: Contender, cluster: Cluster, *, count: int) -> Measured:
    """The same while every handler sleeps a second: dj-stripe's in the web server, Redrive's in its worker."""
    with contextlib.ExitStack() as stack:
        if contender is REDRIVE:
            stack.enter_context(server.worker(contender, cluster, "drain", "webhook", BENCH_SLEEP="1"))
        served = stack.enter_context(server.served(contender, cluster, BENCH_SLEEP="1"))
        answers = load.steady(served.port, served.requests(count), per_second=PER_SECOND)
    return _late(answers)


def _late(answers: load.Answers) -> Measured:
    return {
        "p50 ms": answers.percentile(0.5),
        "p99 ms": answers.percentile(0.99),
        "refused": float(sum(answers.refused.values())),
    }
