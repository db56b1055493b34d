"""The fuse between this process and its database: after five failures in 30 s nobody asks for 30 s, then one does.

In memory, unlike the engine's breakers: those stand in the very database that does not answer.
"""

from __future__ import annotations

import threading
import time
from collections import deque

THRESHOLD = 5
WITHIN = 30.0
OPEN_FOR = 30.0
PANELS = 3
"""So many different panels must fail, unless it is the connection itself: one bad panel is its own problem."""
CONNECTION = "connection"


class Fuse:
    """All times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: deque[tuple[float, str]] = deque(maxlen=THRESHOLD)
        self._open_until = 0.0
        self._line = False
        self._probing = False

    def may_ask(self, *, at: float | None = None) -> bool:
        """Whether the database may be asked now; of those who come after its time is up, one."""
        at = time.monotonic() if at is None else at
        with self._lock:
            if not self._open_until:
                return True
            if at < self._open_until or self._probing:
                return False
            self._probing = True
            return True

    def seconds_left(self, *, at: float | None = None) -> float:
        """How long it stays open; 0 if it is closed."""
        at = time.monotonic() if at is None else at
        return max(self._open_until - at, 0.0)

    def line_is_down(self, *, at: float | None = None) -> bool:
        """Whether it is open for the connection itself, not for queries that took too long."""
        return self._line and self.seconds_left(at=at) > 0

    def failed(self, what: str, *, at: float | None = None) -> None:
        """`what`: a panel's name, or `CONNECTION`."""
        at = time.monotonic() if at is None else at
        with self._lock:
            self._failures.append((at, what))
            recent = [name for when, name in self._failures if at - when <= WITHIN]
            serious = CONNECTION in recent or len(set(recent)) >= PANELS
            if self._probing or (len(recent) >= THRESHOLD and serious):
                self._open_until, self._probing = at + OPEN_FOR, False
                self._line = CONNECTION in recent

    def succeeded(self) -> None:
        """The database answers: closed."""
        with self._lock:
            if self._failures or self._open_until:
                self._failures.clear()
                self._open_until, self._probing = 0.0, False


FUSE = Fuse()
"""This process's own."""
