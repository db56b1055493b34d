"""When to try again: `RetryPolicy`, a written schedule, and the one decision made from it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

JITTER = 0.1
"""Retries are spread by ±10 %, so that what failed together does not come back together (0 in tests)."""
RETRY_AFTER_MAX = timedelta(days=1)
"""What we believe of the other side's advice: a `Retry-After` of a million years must not lose the item."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """One try at once, then one retry after each delay (seconds), then dead letter.

    >>> RetryPolicy(1, 5, 30).delay(attempts=2)
    datetime.timedelta(seconds=5)
    """

    delays: tuple[float, ...]

    def __init__(self, *delays: float) -> None:
        if not delays or not all(0 <= delay < math.inf for delay in delays):
            raise ValueError("a retry policy needs at least one delay, none of them negative or endless")
        object.__setattr__(self, "delays", tuple(float(delay) for delay in delays))

    @property
    def max_retries(self) -> int:
        """Retries before dead letter: one for each delay."""
        return len(self.delays)

    def delay(
        self, *, attempts: int, max_retries: int | None = None, retry_after: timedelta | None = None
    ) -> timedelta | None:
        """How long to wait after the failed attempt number `attempts` (from 1), or None: no retry is left.

        `max_retries` of a single item wins over the schedule's; past its end the last delay repeats.
        `retry_after` is the other side's advice and wins over the schedule, up to `RETRY_AFTER_MAX`; no retry is added.
        """
        if attempts > (self.max_retries if max_retries is None else max_retries):
            return None
        if retry_after is not None:
            return min(max(retry_after, timedelta()), RETRY_AFTER_MAX)
        seconds = self.delays[min(max(attempts, 1), len(self.delays)) - 1]
        return timedelta(seconds=seconds * random.uniform(1 - _jitter(), 1 + _jitter()))  # noqa: S311


def _jitter() -> float:
    return float(getattr(settings, "RETRY_JITTER", JITTER))
