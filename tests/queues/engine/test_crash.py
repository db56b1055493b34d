"""Workers that are killed, stopped, or cut off from the database: nothing is lost, and little is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from queues.engine import claim
from queues.engine.attempts import Attempt
from queues.engine.drain import SWEEP_SECONDS, Drain
from queues.engine.registry import Done
from tests.conftest import ROOT
from tests.queues.engine.conftest import MakeJobs, job_queue
from tests.samplequeue.models import Effect, Job

pytestmark = pytest.mark.django_db(transaction=True)

HANDS = 4
COUNT = 60
LEASE_AND_SWEEP = claim.LEASE + timedelta(seconds=SWEEP_SECONDS)


class Workers:
    """Worker processes on the test's database, all killed at the end."""

    def __init__(self, environment: dict[str, str], sent: Path) -> None:
        self.environment, self.sent_file = environment, sent
        self.running: list[subprocess.Popen[str]] = []
        sent.touch()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.samplequeue.worker", str(self.sent_file), *arguments]
        worker = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.running.append(worker)
        return worker

    def sent(self) -> Counter[int]:
        return Counter(int(line) for line in self.sent_file.read_text().split())

    def end(self) -> None:
        for worker in self.running:
            worker.kill()
            worker.communicate()


@pytest.fixture
def workers(child_environment: dict[str, str], tmp_path: Path) -> Workers:
    started = Workers(child_environment, tmp_path / "sent")
    yield started  # type: ignore[misc]
    started.end()


def recover(workers: Workers, *, later: timedelta = LEASE_AND_SWEEP) -> Counter[str]:
    """One more drain, as it would run so much later."""

    def handler(item: Job, context: object) -> Done:
        with workers.sent_file.open("ab", buffering=0) as sent:
            sent.write(f"{item.pk}\n".encode())
        return Done(effect=lambda: Effect.objects.create(name=str(item.pk)))  # type: ignore[func-returns-value]

    return Drain(job_queue(handler), clock=lambda: timezone.now() + later).run()


def all_is_well(workers: Workers, *, repeats: int) -> None:
    sent = workers.sent()
    assert Job.objects.filter(status="succeeded").count() == COUNT
    assert len(sent) == COUNT, "lost"
    assert sum(sent.values()) - COUNT <= repeats
    effects = Counter(Effect.objects.values_list("name", flat=True))
    assert len(effects) == COUNT
    assert set(effects.values()) == {1}, "what is in our own database is exactly once"


@pytest.mark.parametrize(
    ("stage", "at"),
    [
        ("claimed", 1),
        ("before", 1),
        ("before", 30),
        ("inside", 30),
        ("sent", 1),
        ("sent", COUNT),
        ("settling", 3),
        ("committing", 30),
        ("settled", 3),
    ],
)
def test_a_worker_killed_anywhere_loses_nothing_and_repeats_at_most_one_a_hand(
    jobs: MakeJobs, workers: Workers, stage: str, at: int
) -> None:
    jobs(COUNT, due_at=timezone.now())
    worker = workers.start("--die", stage, "--at", str(at), "--hands", str(HANDS))
    worker.communicate(timeout=60)
    assert worker.returncode == -signal.SIGKILL

    assert recover(workers, later=timedelta(0)).keys() <= {"ack"}  # what it had not claimed
    assert Job.objects.exclude(status__in=["succeeded", "processing"]).count() == 0
    recover(workers)

    all_is_well(workers, repeats=HANDS)
    lost = Attempt.objects.filter(outcome="lost").count()
    assert lost == Job.objects.filter(attempts=2).count()


def test_an_item_that_kills_its_worker_every_time_ends_as_a_dead_letter(jobs: MakeJobs, workers: Workers) -> None:
    (job,) = jobs(1, due_at=timezone.now(), max_retries=1)
    for attempt in (1, 2):
        Job.objects.filter(status="processing").update(leased_until=timezone.now() - timedelta(seconds=1))
        workers.start("--die", "sent").communicate(timeout=60)
        assert Job.objects.get(pk=job.pk).attempts == attempt
    assert recover(workers) == {"reclaimed": 1}
    assert Job.objects.get(pk=job.pk).status == "dead_letter"
    assert workers.sent() == {job.pk: 2}


def test_a_worker_that_stood_still_repeats_at_most_one_a_hand(jobs: MakeJobs, workers: Workers) -> None:
    """A paused machine wakes with a full inbox after another worker has taken everything back."""
    jobs(COUNT, due_at=timezone.now())
    os.mkfifo(gate := workers.sent_file.with_name("gate"))
    worker = workers.start("--hands", str(HANDS), "--gate", str(gate))
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    with gate.open("w"):  # opens once the first handler reads from it
        worker.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WNOWAIT)
    recover(workers)
    worker.send_signal(signal.SIGCONT)
    worker.communicate(timeout=90)
    assert worker.returncode == 0

    all_is_well(workers, repeats=HANDS)


def test_four_processes_at_once_send_everything_once(jobs: MakeJobs, workers: Workers) -> None:
    jobs(COUNT, due_at=timezone.now())
    started = [workers.start("--hands", "2") for _ in range(4)]
    for worker in started:
        worker.communicate(timeout=60)
        assert worker.returncode == 0
    all_is_well(workers, repeats=0)


def test_a_database_that_cuts_every_session_again_and_again_repeats_at_most_one_a_hand_and_cut(
    jobs: MakeJobs, workers: Workers, postgres: bool
) -> None:
    if not postgres:
        pytest.skip("SQLite has no sessions")
    jobs(COUNT, due_at=timezone.now())
    worker = workers.start("--hands", str(HANDS), "--resident", "10")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    cuts = 0
    while worker.poll() is None and Job.objects.exclude(status="succeeded").exists():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            cuts += bool(cursor.fetchone()[0])
        before = len(workers.sent())
        for _ in range(50):
            if len(workers.sent()) > before:
                break
            Job.objects.exists()
        if cuts > 25:
            break
    worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert cuts > 3
    recover(workers)

    all_is_well(workers, repeats=0)
