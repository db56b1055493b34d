"""The retry schedule for code that cannot wait in a queue: `call(policy, fn)` tries in this very process."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from queues.engine.outcomes import Permanent, Transient
from queues.engine.policy import RetryPolicy

log = structlog.get_logger(__name__)


class Clock(Protocol):
    """What `call` needs of time; `time` itself fits, a test gives its own."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


class DeadlineExceeded(Transient):
    """No time was left for another try; `__cause__` is the last failure."""


def call[T](
    policy: RetryPolicy,
    fn: Callable[[], T],
    *,
    classify: Callable[[Exception], Exception | None] = lambda error: None,
    deadline: timedelta | None = None,
    clock: Clock = time,
) -> T:
    """Run `fn` by the schedule of `policy` and return what it returns.

    `classify` turns a library's exception into an outcome; what it does not know (None) is not retried.
    Only `Transient` is retried, and never `Uncertain`'s second half: that is the caller's to decide by its class.
    `deadline` is shared by all tries and waits: a wait that would pass it is not begun.
    Raises the last `Transient`, `DeadlineExceeded`, or at once whatever is not transient.
    """
    started = clock.monotonic()
    attempts = 0
    while True:
        attempts += 1
        try:
            return fn()
        except Exception as error:
            outcome = error if isinstance(error, Transient | Permanent) else classify(error)
            if not isinstance(outcome, Transient):
                raise (outcome or error) from (error if outcome and outcome is not error else error.__cause__)
            wait = policy.delay(attempts=attempts, retry_after=outcome.retry_after)
            if wait is None:
                raise outcome from (error if outcome is not error else error.__cause__)
            spent = timedelta(seconds=clock.monotonic() - started)
            if deadline is not None and spent + wait >= deadline:
                raise DeadlineExceeded(f"no time left after {attempts} tries: {outcome.words}") from error
            log.info("retry.waits", attempt=attempts, seconds=wait.total_seconds(), code=outcome.code)
            clock.sleep(wait.total_seconds())
