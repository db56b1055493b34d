"""What each worker process of this machine is doing now, and: a task that was begun is never delivered again.

django-q2 acknowledges a task when it has ended, so one that kills its worker would come back for ever. Here it is
acknowledged before it begins, as a claim counts its attempt before the work: what it should have done is still due in
our tables, and the clock sends another. A worker at work has a file named by its process; the kernel's word that the
process lives is asked too, so that a kill leaves nothing that misleads.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from django_q.brokers import get_broker
from django_q.signals import post_execute_in_worker, pre_execute

from queues.engine import log, residence

logger = log.get(__name__)

LONGEST_SECONDS = 3600.0
"""Nothing of ours runs longer; a worker still at it is stuck, and counts as idle."""


def connect() -> None:
    """Have every worker process of django-q2 keep the board; its signals are the only hooks it offers."""
    pre_execute.connect(begin, dispatch_uid="redrive.begin")
    post_execute_in_worker.connect(end, dispatch_uid="redrive.end")


def begin(*, task: dict[str, Any], **_signal: Any) -> None:
    """A worker begins a task. Raises nothing: an error here would end the worker."""
    try:
        place = _folder() / str(os.getpid())
        place.write_text(f"{time.monotonic()} {task.get('name', '')}")
        if task.get("ack_id"):
            get_broker().acknowledge(task["ack_id"])
    except Exception:  # a full disk, a database or a broker of any make that is away
        logger.warning("task.not_acknowledged", task=task.get("name"), exc_info=True)


def end(**_signal: Any) -> None:
    """A worker has ended a task, well or not."""
    try:
        (_folder() / str(os.getpid())).unlink(missing_ok=True)
    except OSError:
        logger.warning("board.not_cleared", exc_info=True)


def busy(*, session: int) -> int:
    """How many workers of that session (of one cluster, that is) are at a task."""
    return len(tasks(session=session))


def tasks(*, session: int) -> dict[int, tuple[float, str]]:
    """Process → for how many seconds it has been at its task, and the task's name."""
    found = {}
    for place in _folder().iterdir():
        try:
            pid = int(place.name)
            since, _blank, name = place.read_text().partition(" ")
            seconds = time.monotonic() - float(since)
            if os.getsid(pid) == session and 0 <= seconds < LONGEST_SECONDS:
                found[pid] = seconds, name
        except (OSError, ValueError):  # ended a moment ago, or written only halfway
            continue
    return found


def wipe() -> None:
    """Forget everybody: no cluster runs on this machine now."""
    for place in _folder().iterdir():
        place.unlink(missing_ok=True)


def _folder() -> Path:
    folder = residence.stop_file().parent / "busy"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
