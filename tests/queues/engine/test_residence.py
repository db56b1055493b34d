"""One resident drain a queue and machine: by a lock that ends with its process, and a sign to end early."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from queues.engine import residence
from queues.engine.registry import Queue
from tests.queues.engine.conftest import MakeJobs, job_queue
from tests.samplequeue.models import Job

pytestmark = pytest.mark.django_db(transaction=True)

SOON = timedelta(seconds=2)
HOLDER = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.queues.engine.cluster_settings"
import django
django.setup()
from queues.engine import residence
with residence._alone(sys.argv[1]) as alone:
    print(alone, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _no_stop() -> Iterator[None]:
    """No test leaves the sign behind."""
    residence.stop_file().unlink(missing_ok=True)
    yield
    residence.stop_file().unlink(missing_ok=True)


@pytest.fixture
def holder(child_environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Another process that is resident on the queue `job`."""
    environment = {**child_environment, "WORKERS_DATABASE_URL": child_environment["DATABASE_URL"]}
    root = Path(__file__).resolve().parents[3]
    line = [sys.executable, "-c", HOLDER, "job"]
    with subprocess.Popen(
        line, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "True"
        yield process
        process.kill()


def handled(queue: Queue) -> int:
    """How many items a resident drain settled."""
    return residence.drain(queue, resident=SOON)["ack"]


def test_a_second_drain_is_over_at_once(holder: subprocess.Popen[str], jobs: MakeJobs) -> None:
    """It would only be in the first one's way."""
    jobs(3)
    assert handled(job_queue()) == 0
    assert Job.objects.filter(status="pending").count() == 3


def test_another_queue_is_not_concerned(holder: subprocess.Popen[str], jobs: MakeJobs) -> None:
    """Each has a resident of its own."""
    jobs(3)
    assert handled(job_queue(name="other")) == 3


def test_a_killed_resident_leaves_the_place_free(holder: subprocess.Popen[str], jobs: MakeJobs) -> None:
    """The kernel drops the lock with its process."""
    jobs(3)
    holder.kill()
    holder.wait()
    assert handled(job_queue()) == 3


def test_the_place_is_free_again_afterwards(jobs: MakeJobs) -> None:
    """One after the other, in one process too."""
    jobs(1)
    assert handled(job_queue()) == 1
    jobs(1)
    assert handled(job_queue()) == 1


def test_a_handler_that_breaks_leaves_the_place_free(jobs: MakeJobs) -> None:
    """And a claim that fails, too."""

    def gate(now: object) -> None:
        raise LookupError("of no kind that a drain expects")

    jobs(1)
    with pytest.raises(LookupError):
        residence.drain(job_queue(gate=gate), resident=SOON)
    assert handled(job_queue()) == 1


def test_the_stop_sign_ends_a_resident_drain_early(jobs: MakeJobs) -> None:
    """What it has in hand it settles; what it has not begun stays pending."""
    begun = threading.Event()
    go_on = threading.Event()

    def handler(item: object, context: object) -> None:
        begun.set()
        go_on.wait(timeout=20)

    jobs(5)
    queue = job_queue(handler, hands=1)
    counts: list[int] = []

    def drain() -> None:
        try:
            counts.append(residence.drain(queue, resident=timedelta(seconds=60))["ack"])
        finally:
            connection.close()

    thread = threading.Thread(target=drain)
    thread.start()
    assert begun.wait(timeout=20)
    residence.stop_file().touch()
    go_on.set()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert 1 <= counts[0] < 5
    assert Job.objects.filter(status="pending").count() == 5 - counts[0]
    assert not Job.objects.filter(status="processing").exists()


def test_a_drain_under_the_stop_sign_takes_nothing(jobs: MakeJobs) -> None:
    """Until the sign is taken away."""
    jobs(2)
    residence.stop_file().touch()
    assert handled(job_queue()) == 0
    residence.stop_file().unlink()
    assert handled(job_queue()) == 2


def test_two_databases_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two installations on one machine have folders of their own, which only their user may enter."""
    here = residence.stop_file().parent
    assert here.stat().st_mode & 0o777 == 0o700
    with monkeypatch.context() as other:
        other.setitem(settings.DATABASES["default"], "NAME", "elsewhere")
        there = residence.stop_file().parent
    assert there != here
    there.rmdir()
