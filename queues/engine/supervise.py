"""The supervisor: runs the cluster of this machine, and starts it again when it died or no longer works.

    start ──▶ watch ── died │ silent │ its clock stands still ──▶ put down ──▶ wait a little longer each time ──┐
      ▲         └── SIGTERM ──▶ drains end early, cluster ends ──▶ exit                                        │
      └────────────────────────────────────────────────────────────────────────────────────────────────────────┘

Silent: for `silence` seconds no heartbeat came back although a worker was free to answer, and the database could be
asked all that time. Workers that are all at work (drains last up to 50 s) or a database that is away are no reason.
"""

from __future__ import annotations

import fcntl
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from django_q.conf import Conf

from queues.engine import log, residence
from queues.engine.cluster import Cluster
from queues.engine.pulse import Pulse

logger = log.get(__name__)

SILENCE_SECONDS = 25.0
"""So that a heartbeat is never older than 30 s: the rest is for noticing it and starting anew."""
LOOK_SECONDS = 0.25
STARTING_SECONDS = 30.0
"""A cluster's first heartbeat may take that long, on a machine that is busy."""
ASLEEP_SECONDS = 5.0
"""A look that comes this late was itself held up (a suspended machine): it judges nothing."""
DELAYS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds before the first, second, ... restart in a row; then the last."""
STEADY_SECONDS = 600.0
"""A cluster that lived this long has nothing to do with the failures before it."""
KEEP_SECONDS = 3600.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class AlreadyRunning(Exception):
    """Another supervisor works on this machine and database."""


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """`silence`: seconds without a heartbeat; `standing`: seconds a schedule may be overdue; `ending`: until killed."""

    beat: float = 5.0
    silence: float = SILENCE_SECONDS
    standing: float = 60.0
    ending: float = 60.0
    cluster: Cluster = field(default_factory=Cluster)
    pulse: Pulse = field(default_factory=Pulse)
    asked: threading.Event = field(default_factory=threading.Event)
    """Set by the first signal; a second one has the cluster killed."""
    signals: int = 0
    restarts: int = 0
    failures: int = 0
    stood: int = 0
    """How often in a row it was put down for its clock: each time it gets twice as long."""
    started_at: float = 0.0
    looked_at: float = 0.0
    not_before: float = 0.0
    kept_at: float = 0.0

    def run(self) -> None:
        """Supervise until a signal asks to end. Raises AlreadyRunning."""
        with _alone():
            for number in SIGNALS:
                signal.signal(number, self._note_signal)
            self._clear_leftovers()
            self.pulse.beat_seconds = self.beat
            self.pulse.begin()
            try:
                while not self.asked.wait(LOOK_SECONDS if self.looked_at else 0):
                    self.look(clock=time.monotonic())
            finally:
                self._end()

    def look(self, *, clock: float) -> None:
        """One look: start what should run, put down what does not work."""
        if clock - self.looked_at > ASLEEP_SECONDS:
            self.started_at = clock  # as if new: nothing is known of the time we slept
        self.looked_at = clock
        if clock - self.kept_at > KEEP_SECONDS:
            self.kept_at = clock
            self.cluster.keep()
        if not self.pulse.running:
            if clock >= self.not_before:
                self._start(clock=clock)
        elif reason := self.verdict(clock=clock):
            self._put_down(reason)

    def verdict(self, *, clock: float) -> str:
        """Why the cluster must be started again, or nothing."""
        if (status := self.cluster.status()) is not None:
            return f"its main process ended with status {status}"
        heard = self.pulse.heard
        if clock - heard.at > self.pulse.beat_seconds * 2:
            return ""  # nothing can be heard now
        quiet = clock - max(heard.beat_at, heard.since, self.started_at)
        patience = self.silence if heard.beat_at > self.started_at else max(self.silence, STARTING_SECONDS)
        if quiet > patience and self.cluster.busy() < Conf.WORKERS:
            return f"no heartbeat for {quiet:.0f} s"
        if heard.standing_since is None:
            self.stood = 0
            return ""
        standing = clock - max(heard.standing_since, self.started_at)
        if standing > self.standing * 2**self.stood:
            self.stood = min(self.stood + 1, 6)
            return f"its schedules stand still for {standing:.0f} s"
        return ""

    def _start(self, *, clock: float) -> None:
        try:
            pid = self.cluster.start()
        except BlockingIOError:
            logger.error("cluster.remains", pid=self.cluster.main)
            self.cluster.kill()
            return
        self.started_at = clock
        self.pulse.restarted()
        self.pulse.detail = {"cluster": pid, "restarts": self.restarts}
        logger.info("cluster.started", pid=pid, restarts=self.restarts)

    def _put_down(self, reason: str) -> None:
        lived = time.monotonic() - self.started_at
        self.failures = 1 if lived > STEADY_SECONDS else self.failures + 1
        delay = DELAYS[min(self.failures, len(DELAYS)) - 1]
        logger.error("cluster.put_down", reason=reason, lived_seconds=round(lived, 1), again_in_seconds=delay)
        self.pulse.running = False
        self.restarts += 1
        self.pulse.detail = {"restarts": self.restarts, "reason": reason}
        self.cluster.put_down(enough=self.asked.is_set)
        self.not_before = time.monotonic() + delay

    def _clear_leftovers(self) -> None:
        """End what an earlier supervisor left when it was killed, and its sign that drains should end."""
        residence.stop_file().unlink(missing_ok=True)
        if not self.cluster.gone():
            logger.warning("cluster.left_over", pid=self.cluster.main)
            self.cluster.end(patience=self.ending, enough=self.asked.is_set)

    def _end(self) -> None:
        self.pulse.running = False
        self.pulse.stop()
        begun = time.monotonic()
        by_itself = self.cluster.end(patience=self.ending, enough=lambda: self.signals > 1)
        logger.info("supervisor.ended", by_itself=by_itself, seconds=round(time.monotonic() - begun, 1))

    def _note_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1
        self.asked.set()


@contextmanager
def _alone() -> Iterator[None]:
    """One supervisor a machine and database; the kernel forgets a killed one."""
    with open(residence.stop_file().with_name("supervisor.lock"), "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning("the workers of this machine and database are already supervised") from None
        yield
