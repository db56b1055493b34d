"""Scenarios of failure: a killed worker, ended database sessions, a server that hangs up, a reply that never comes."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Callable

from benchmarks.email import postgres, process
from benchmarks.email.process import Worker
from benchmarks.email.trial import Measured, Trial

PAUSE_SECONDS = 0.5
"""Between two runs of a worker, as a supervisor or cron would start it again."""


def killed(trial: Trial, *, seconds: float = 60) -> Measured:
    """kill -9 at a random mail, then new workers until all mails arrived or `seconds` passed: repeated, never sent."""
    return _interrupted(trial, Worker.kill, seconds=seconds)


def cut_off(trial: Trial, *, seconds: float = 60) -> Measured:
    """The database ends all sessions at a random mail; the worker goes on if it can, else new ones are started."""

    def cut(worker: Worker) -> None:
        postgres.cut_sessions(trial.database)
        _watch(worker, trial, unique=trial.mails, until=time.time() + seconds)

    return _interrupted(trial, cut, seconds=seconds)


def hung_up(trial: Trial, *, closing: int = 5, runs: int = 3) -> Measured:
    """The server closes the connection on the first `closing` of the mails: how many of the others arrive."""
    _begin(trial)
    process.run(trial.contender, "enqueue_many", numbers=closing, of="close")
    process.run(trial.contender, "enqueue_many", numbers=trial.mails - closing, first=closing)
    _drain_often(trial, unique=trial.mails - closing, runs=runs, seconds=20)
    arrived = trial.sink.arrived()
    return {"others": trial.mails - closing, "delivered": arrived.unique, "repeated": arrived.repeated} | _state(trial)


def reply_lost(trial: Trial, *, runs: int = 7) -> Measured:
    """The server takes each message and closes instead of answering: how many copies arrive in `runs` runs."""
    _begin(trial)
    process.run(trial.contender, "enqueue_many", numbers=trial.mails, of="lost")
    _drain_often(trial, unique=trial.mails + 1, runs=runs, seconds=15)
    arrived = trial.sink.arrived()
    return {"copies of each": arrived.accepted / trial.mails, "never sent": trial.mails - arrived.unique} | _state(
        trial
    )


def _interrupted(trial: Trial, interrupt: Callable[[Worker], None], *, seconds: float) -> Measured:
    _begin(trial)
    process.run(trial.contender, "enqueue_many", numbers=trial.mails)
    at_mail = _somewhere(trial)
    with process.workers(trial.contender, environment=_environment(trial)) as (worker,):
        worker.go()
        trial.sink.wait_for(at_mail, seconds=60)
        interrupted_at = time.time()
        interrupt(worker)
    while trial.sink.arrived().unique < trial.mails and time.time() < interrupted_at + seconds:
        with process.workers(trial.contender, environment=_environment(trial)) as (worker,):
            worker.go()
            _watch(worker, trial, unique=trial.mails, until=interrupted_at + seconds)
        time.sleep(PAUSE_SECONDS)
    arrived = trial.sink.arrived()
    return {
        "repeated": arrived.repeated,
        "never sent": trial.mails - arrived.unique,
        "all sent after s": arrived.last_at - interrupted_at if arrived.unique == trial.mails else None,
    }


def _somewhere(trial: Trial) -> int:
    """A mail to interrupt at, the same for every contender of a round, and not where a batch of 50 or 100 ends."""
    chance = random.Random(trial.number)
    batches = max(2, trial.mails // 50)
    return min(trial.mails - 5, 50 * chance.randrange(batches // 4, batches * 3 // 4) + chance.randrange(15, 35))


def _begin(trial: Trial) -> None:
    shutil.rmtree(process.LOCKS, ignore_errors=True)
    process.LOCKS.mkdir(parents=True)
    postgres.empty(trial.database)
    trial.sink.reset()


def _drain_often(trial: Trial, *, unique: int, runs: int, seconds: float) -> None:
    for _ in range(runs):
        with process.workers(trial.contender, environment=_environment(trial)) as (worker,):
            until = worker.go() + seconds
            _watch(worker, trial, unique=unique, until=until)


def _watch(worker: Worker, trial: Trial, *, unique: int, until: float) -> None:
    """Return when the worker is done or has died, or so many mails arrived, or it is too late."""
    with contextlib.suppress(process.WorkerFailed):
        while time.time() < until and trial.sink.arrived().unique < unique and not worker.is_done(seconds=0.05):
            pass
        # The worker gets the time to write down what it did last.
        worker.is_done(seconds=2)


def _state(trial: Trial) -> Measured:
    return {f"rows {name}": count for name, count in process.run(trial.contender, "state").items()}


def _environment(trial: Trial) -> dict[str, str]:
    """All runs share one lock file, as on one machine, so that what a dead worker left behind counts."""
    return trial.transport() | {"BENCH_LOCK": str(process.LOCKS / "lock")}
