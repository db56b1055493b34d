"""The supervisor's own watch: looks at the rules that need no workers, and sends, in a thread beside it.

A machine's supervisor lives when its workers do not, and tells of the workers of other machines, too. A clean ending is
written down, so that a machine taken out of service on purpose raises no alarm while others work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gethostname

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone

from queues.engine import heartbeats, log
from queues.monitor import evaluate

logger = log.get(__name__)

ROUND_SECONDS = 15.0
FIRST_SECONDS = 90.0
"""After a start the cluster needs a moment to be heard of, and the schedules to catch up."""


@contextmanager
def on_duty(*, every: float = ROUND_SECONDS, first: float = FIRST_SECONDS) -> Iterator[None]:
    """Watch while the block runs. An error of the block (another supervisor runs here) is no clean ending."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(ended, every, first), name="watchman", daemon=True)
    thread.start()
    try:
        yield
        _sign_off()
    finally:
        ended.set()


def round() -> bool:
    """One look; False if it could not be done."""
    try:
        evaluate.without_workers(now=timezone.now())
    except (DatabaseError, InterfaceError) as error:
        logger.warning("watchman.database_away", words=str(error).split("\n")[0])
        connections.close_all()
        return False
    except Exception:  # a mistake of ours must not end the watch
        logger.exception("watchman.round_failed")
        return False
    return True


def _watch(ended: threading.Event, every: float, first: float) -> None:
    wait = first
    while not ended.wait(wait):
        round()
        wait = every
    connections.close_all()


def _sign_off() -> None:
    try:
        heartbeats.beat(name=f"supervisor:{gethostname()}", now=timezone.now(), ended=True)
    except (DatabaseError, InterfaceError):
        logger.warning("watchman.not_signed_off")
