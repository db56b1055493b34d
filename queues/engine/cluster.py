"""One django-q2 cluster of this machine as a tree of processes: begun, asked to end, killed with all it left behind.

    supervisor ──▶ main ──▶ sentinel ──▶ workers, pusher, monitor      (one session, one process group)

All of them inherit a lock from the start. While one of them lives it is held, whoever killed the others and whether or
not the supervisor still lives, and their group's number cannot pass to strangers: so nothing else is ever killed, and
a second cluster never starts beside what is left of the first.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings

from queues.engine import board, log, residence

logger = log.get(__name__)

# The child writes its own number before it becomes the cluster: there is no moment at which the number is known to
# nobody, even if the supervisor is killed right after starting it.
NOTED = 'echo $$ > "$0"; exec "$@"'
LOOK_SECONDS = 0.05
AGAIN_SECONDS = 5.0
"""django-q2 drops a SIGTERM that comes in one moment of its start, so it gets another."""
KILL_SECONDS = 10.0
"""Killed processes are gone at once, unless one hangs in the kernel (a dead network disk)."""
EARLY_SECONDS = 10.0
"""How long drains get to settle what they have under way, before their cluster is killed."""


class Cluster:
    """The cluster of this machine and database, of this supervisor or of an earlier one that was killed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it and return its main process. Raises BlockingIOError while anything of an earlier one lives."""
        board.wipe()
        _note().unlink(missing_ok=True)
        with _lock_file() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            line = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "qcluster"]
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", NOTED, str(_note()), *line],
                stdin=subprocess.DEVNULL,
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )
        return self.process.pid

    def status(self) -> int | None:
        """The main process's exit status; None while it runs."""
        return self.process.poll() if self.process else 0

    @property
    def main(self) -> int | None:
        """The main process's number, also that of the session and the group; None if none was ever noted."""
        if self.process:
            return self.process.pid
        try:
            return int(_note().read_text())
        except (OSError, ValueError):
            return None

    def gone(self) -> bool:
        """Whether no process of it lives any more."""
        if self.process:
            self.process.poll()  # buries it, if it is dead
        with _lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def busy(self) -> int:
        """How many of its workers are at a task."""
        return board.busy(session=self.main) if self.main else 0

    def end(self, *, patience: float, enough: Callable[[], bool] = lambda: False) -> bool:
        """Let it finish what it has begun, up to `patience` seconds or until `enough`, then kill what still lives.

        Returns whether it ended by itself. The signal goes to the main process alone: sent to the group, it kills
        tasks in flight and hangs django-q2.
        """
        if self.gone():
            return True
        deadline = time.monotonic() + patience
        with _drains_end_early():
            while time.monotonic() < deadline and not enough():
                if not self._signal(os.kill, signal.SIGTERM):
                    _wait(self._idle, EARLY_SECONDS, enough)  # nobody is left who could tell the workers
                    break
                if _wait(self.gone, AGAIN_SECONDS, enough):
                    return True
            self.kill()
        return False

    def put_down(self, *, enough: Callable[[], bool] = lambda: False) -> None:
        """Kill it because it does not work; those of its drains that do, get a moment to settle first."""
        with _drains_end_early():
            _wait(self._idle, EARLY_SECONDS, enough)
            self.kill()

    def kill(self) -> bool:
        """Kill every process of it; returns whether all are gone."""
        deadline = time.monotonic() + KILL_SECONDS
        while not self.gone():
            self._signal(os.killpg, signal.SIGKILL)
            if time.monotonic() > deadline:
                logger.error("cluster.unkillable", pid=self.main)
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def keep(self) -> None:
        """Show the files' folder in use, to those who tidy up temporary folders."""
        for path in (_note(), _lock_path()):
            if path.exists():
                os.utime(path)

    def _idle(self) -> bool:
        return not self.busy() or self.gone()

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> bool:
        """Send it if anything of the cluster lives; returns whether the main process was there to get it."""
        if self.main is None or self.gone():
            return False
        try:
            send(self.main, number)
        except ProcessLookupError:  # the main process is dead and others live, or all ended this moment
            return False
        return not _buried_by_nobody(self.main)


@contextmanager
def _drains_end_early() -> Iterator[None]:
    """While inside, the drains of this machine claim nothing more and end."""
    residence.stop_file().touch()
    try:
        yield
    finally:
        residence.stop_file().unlink(missing_ok=True)


def _buried_by_nobody(pid: int) -> bool:
    """Whether the process is dead but still listed: in a container without an init, an orphan stays so for ever."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _wait(done: Callable[[], bool], patience: float, enough: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + patience
    while not done():
        if time.monotonic() > deadline or enough():
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _lock_file() -> IO[bytes]:
    return open(_lock_path(), "ab")


def _lock_path() -> Path:
    return residence.stop_file().with_name("cluster.lock")


def _note() -> Path:
    return residence.stop_file().with_name("cluster.pid")
