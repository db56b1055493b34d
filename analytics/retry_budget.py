"""How many queries this process may repeat at once: a tenth of what it asks in a minute, so that a database that is
down or coming up is not asked three times as much as one that is well.
"""

from __future__ import annotations

import threading
import time
from collections import deque

SHARE = 0.1
WITHIN = 60.0
ALWAYS = 10
"""So many in any case: in a quiet process one lost connection is repeated."""


class RetryBudget:
    """All times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: deque[tuple[float, int]] = deque()
        self._repeated: deque[tuple[float, int]] = deque()

    def asked(self, queries: int, *, at: float | None = None) -> None:
        """Note queries that are asked for the first time."""
        at = time.monotonic() if at is None else at
        with self._lock:
            self._asked.append((at, queries))
            self._sum(self._asked, at)

    def may_repeat(self, queries: int, *, at: float | None = None) -> bool:
        """Whether so many may be repeated now; if so they are counted."""
        at = time.monotonic() if at is None else at
        with self._lock:
            allowed = max(ALWAYS, SHARE * self._sum(self._asked, at))
            if self._sum(self._repeated, at) + queries > allowed:
                return False
            self._repeated.append((at, queries))
            return True

    def forget(self) -> None:
        """As new (tests)."""
        with self._lock:
            self._asked.clear()
            self._repeated.clear()

    @staticmethod
    def _sum(noted: deque[tuple[float, int]], at: float) -> int:
        while noted and at - noted[0][0] > WITHIN:
            noted.popleft()
        return sum(number for _, number in noted)


RETRIES = RetryBudget()
"""This process's own."""
