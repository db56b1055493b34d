"""Scenarios of speed: putting in, getting out, the queue's own cost, a slow server, several hosts, a large table."""

from __future__ import annotations

import time

from benchmarks.email import large, postgres, process, progress
from benchmarks.email.process import Worker
from benchmarks.email.trial import Measured, Trial


def enqueue(trial: Trial, *, bulk: bool) -> Measured:
    """Mails put in per second, one per call (each its own transaction) or all in one call."""
    postgres.empty(trial.database)
    postgres.settle(trial.database)
    worker = Worker(trial.contender, "enqueue_many" if bulk else "enqueue", environment={}, numbers=trial.mails)
    with postgres.CpuMeter(database=trial.database) as meter:
        worker.go()
        figures = worker.done()
        server_cpu = meter.read()
    worker.close()
    rate: Measured = {"mails/s": trial.mails / figures.seconds}
    return rate | _cpu(figures.cpu, server_cpu, trial.mails)


def drain(trial: Trial, *, hosts: int = 1, delay_ms: float = 0, null: bool = False) -> Measured:
    """Mails delivered per second by `hosts` workers; over SMTP, counted at the server, or without a transport."""
    postgres.empty(trial.database)
    process.run(trial.contender, "enqueue_many", numbers=trial.mails)
    postgres.settle(trial.database)
    process.PROGRESS.unlink(missing_ok=True)
    trial.sink.reset(delay_ms=delay_ms)
    with process.workers(trial.contender, hosts=hosts, environment=trial.transport(null=null)) as workers:
        with postgres.CpuMeter(database=trial.database) as meter:
            began_at = min([worker.go() for worker in workers])
            figures = [worker.done() for worker in workers]
            server_cpu = meter.read()
        for worker in workers:
            worker.close()
    ended_at, cpu = max(each.ended_at for each in figures), sum(each.cpu for each in figures)
    arrived = trial.sink.arrived()
    delivered = progress.read(process.PROGRESS).done if null else arrived.unique
    measured: Measured = {"mails/s": delivered / (ended_at - began_at)}
    measured |= _cpu(cpu, server_cpu, trial.mails)
    if not null:
        measured |= {
            "repeated": arrived.repeated,
            "lost": trial.mails - arrived.unique,
            "connections": arrived.connections,
        }
    return measured | {"peak MB": max(each.peak_mb for each in figures)}


def grown(trial: Trial, *, share: float = 1, finished: int = 0, seconds: float = 30) -> Measured:
    """Mails per second without a transport, for at most `seconds`, and when the first one left.

    `share` of the trial's mails are pending, beside `finished` mails for each pending one.
    """
    pending = max(1, int(trial.mails * share))
    postgres.empty(trial.database)
    process.run(trial.contender, "enqueue_many", numbers=1)
    large.fill(trial.contender, pending=pending, finished=pending * finished)
    postgres.settle(trial.database)
    process.PROGRESS.unlink(missing_ok=True)
    with process.workers(trial.contender, environment=trial.transport(null=True)) as (worker,):
        cpu_before = worker.cpu
        with postgres.CpuMeter(database=trial.database) as meter:
            began_at = worker.go()
            while not worker.is_done(seconds=0.05) and time.time() < began_at + seconds:
                pass
            server_cpu = meter.read()
        done = progress.read(process.PROGRESS)
        cpu, peak_mb = worker.cpu - cpu_before, worker.peak_mb
    rate: Measured = {
        "mails/s": done.done / (done.last_at - began_at),
        "first after ms": 1000 * (done.first_at - began_at),
    }
    return rate | _cpu(cpu, server_cpu, done.done) | {"peak MB": peak_mb}


def _cpu(worker: float, server: float | None, mails: int) -> Measured:
    """CPU in milliseconds a mail: the workers' and, where it can be read, PostgreSQL's."""
    postgres_ms = None if server is None else 1000 * server / mails
    total = 1000 * worker / mails + (postgres_ms or 0)
    return {"CPU ms": total, "of it PostgreSQL": postgres_ms}
