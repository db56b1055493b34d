"""The board of who is at work, and: what was begun is never delivered again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from queues.engine import board, residence

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_board() -> None:
    """Nobody is at work."""
    board.wipe()


def place(pid: int) -> Path:
    """The file of a worker."""
    return residence.stop_file().parent / "busy" / str(pid)


def test_a_worker_is_busy_from_begin_to_end() -> None:
    """This process plays the worker of a cluster in this session."""
    session = os.getsid(0)
    board.begin(task={"name": "drain email"})
    assert board.busy(session=session) == 1
    board.end()
    assert board.busy(session=session) == 0


def test_a_task_is_acknowledged_before_it_begins() -> None:
    """If it kills its worker, the broker has nothing to deliver again."""
    queued = OrmQ.objects.create(key="redrive", payload="x", lock=timezone.now())
    board.begin(task={"name": "drain email", "ack_id": queued.pk})
    assert not OrmQ.objects.exists()


def test_a_task_without_a_receipt_begins_too() -> None:
    """Redis gives none."""
    board.begin(task={"name": "drain email", "ack_id": None})
    assert board.busy(session=os.getsid(0)) == 1


def test_a_killed_worker_is_not_busy() -> None:
    """Its file stays, the kernel knows better."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as worker:
        place(worker.pid).write_text(f"{time.monotonic()} drain email")
        assert board.busy(session=worker.pid) == 1
        worker.kill()
        worker.wait()
        assert board.busy(session=worker.pid) == 0


def test_workers_of_another_session_do_not_count() -> None:
    """A number that passed to a stranger is not our worker."""
    board.begin(task={"name": "drain email"})
    assert board.busy(session=os.getsid(0) + 1) == 0


@pytest.mark.parametrize("words", ["", "nonsense", "-1e9 long ago", "1e18 in the future"])
def test_a_file_that_makes_no_sense_counts_as_idle(words: str) -> None:
    """A worker written down as busy for ever would hide that the cluster is silent."""
    place(os.getpid()).write_text(words)
    assert board.busy(session=os.getsid(0)) == 0


def test_a_broker_that_is_away_does_not_keep_the_task_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error here would end the worker."""

    def away() -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(board, "get_broker", away)
    board.begin(task={"name": "drain email", "ack_id": 1})
    assert board.busy(session=os.getsid(0)) == 1
