"""Processing: how fast a backlog is worked off, and how soon after its receipt an event is handled when all is idle."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

from benchmarks.email.trial import Measured
from benchmarks.webhooks import events, load, server
from benchmarks.webhooks.cluster import Cluster
from benchmarks.webhooks.contenders import ROOT, Contender

FILL = """INSERT INTO queues_webhookevent
    (idempotency_key, provider, event_id, kind, payload, occurred_at, lane, object_id)
    SELECT 'stripe:evt_' || n, 'stripe', 'evt_' || n, '{kind}',
        convert_to('{{"id": "evt_' || n || '", "object": "event", "type": "{kind}", "created": 1790000000, "data":'
            || ' {{"object": {{"id": "bal_' || n || '", "object": "balance", "note": "' || repeat('x', 400)
            || '"}}}}}}', 'UTF8'),
        now(), ':bal_' || n, 'bal_' || n
    FROM generate_series(1, {count}) n"""
WAITING = "SELECT count(*) FROM queues_webhookevent WHERE status <> 'succeeded'"
GIVE_UP_SECONDS = 300.0


def drain(contender: Contender, cluster: Cluster, *, count: int, workers: int = 1) -> Measured:
    """Due events with a trivial handler: a second since the first was handled, and `all in s` since the start."""
    cluster.run(
        contender.database,
        "TRUNCATE queues_webhookevent, queues_handlerrun, queues_attempt",
        FILL.format(kind=events.TYPE, count=count),
        "VACUUM ANALYZE",
        "CHECKPOINT",
    )
    database, begun = cluster.cpu(), time.perf_counter()
    children = os.times()
    while cluster.number(contender.database, WAITING):
        if time.perf_counter() - begun > GIVE_UP_SECONDS:
            raise SystemExit("The backlog was not worked off; see var/bench.")
        _drains(contender, cluster, workers)
    seconds, now = time.perf_counter() - begun, os.times()
    span = cluster.number(
        contender.database,
        "SELECT extract(epoch FROM max(succeeded_at) - min(succeeded_at)) FROM queues_webhookevent",
    )
    used = now.children_user - children.children_user + now.children_system - children.children_system
    return {
        "events/s": count / span,
        "all in s": seconds,
        "CPU ms an event": (used + cluster.cpu() - database) / count * 1000,
        "of it PostgreSQL": (cluster.cpu() - database) / count * 1000,
    }


def _drains(contender: Contender, cluster: Cluster, workers: int) -> None:
    line = [sys.executable, "manage.py", "drain", "webhook"]
    environment = contender.environment(cluster)
    running = [
        subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(workers)
    ]
    for process in running:
        process.wait()


def wake(contender: Contender, cluster: Cluster, *, count: int) -> Measured:
    """One event every second to an idle system: from its receipt until it is handled, with the workers of `make up`."""
    cluster.run(contender.database, "TRUNCATE queues_webhookevent, queues_handlerrun, queues_attempt, django_q_ormq")
    with server.worker(contender, cluster, "qcluster"), server.served(contender, cluster) as served:
        _settled(contender, cluster)
        cluster.run(contender.database, "TRUNCATE queues_webhookevent, queues_handlerrun, queues_attempt")
        load.steady(served.port, served.requests(count), per_second=1.0)
        with contextlib.suppress(TimeoutError):
            _settled(contender, cluster)
    late = (
        "SELECT extract(epoch FROM percentile_cont({share}) WITHIN GROUP (ORDER BY coalesce(succeeded_at, now())"
        " - created_at)) * 1000 FROM queues_webhookevent"
    )
    return {
        "p50 ms": cluster.number(contender.database, late.format(share=0.5)),
        "p95 ms": cluster.number(contender.database, late.format(share=0.95)),
        "not handled": cluster.number(contender.database, WAITING),
    }


def _settled(contender: Contender, cluster: Cluster) -> None:
    deadline = time.monotonic() + 90
    while cluster.number(contender.database, WAITING):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.2)
