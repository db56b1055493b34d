"""`retry.call`: the schedule for code that cannot wait in a queue, on a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queues.engine import retry
from queues.engine.outcomes import Cancel, Permanent, Snooze, Transient, Uncertain
from queues.engine.policy import RetryPolicy
from tests.queues.engine.conftest import T0

SCHEDULE = RetryPolicy(1, 5, 30)


class Clock:
    """Moves by sleeping and by what the work takes."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float, /) -> None:
        assert seconds >= 0
        self.slept.append(round(seconds, 6))
        self.at += seconds


class Work:
    """Raises what it is told, one after the other, then returns "done"; each try takes `takes` seconds."""

    def __init__(self, clock: Clock, *says: BaseException, takes: float = 0) -> None:
        self.clock, self.says, self.takes, self.tries = clock, list(says), takes, 0

    def __call__(self) -> str:
        self.tries += 1
        self.clock.at += self.takes
        if self.says:
            raise self.says.pop(0)
        return "done"


def run(
    *says: BaseException, takes: float = 0, policy: RetryPolicy = SCHEDULE, **more: object
) -> tuple[object, Work, Clock]:
    clock = Clock()
    work = Work(clock, *says, takes=takes)
    try:
        result: object = retry.call(policy, work, clock=clock, **more)  # type: ignore[arg-type]
    except BaseException as error:
        result = error
    return result, work, clock


def test_what_succeeds_is_returned_at_once() -> None:
    result, work, clock = run()
    assert (result, work.tries, clock.slept) == ("done", 1, [])


def test_what_is_transient_is_tried_again_by_the_schedule() -> None:
    result, work, clock = run(Transient("a"), Uncertain("b"), Transient("c", charged=False))
    assert (result, work.tries, clock.slept) == ("done", 4, [1, 5, 30])


def test_when_the_schedule_is_used_up_the_last_failure_is_raised() -> None:
    last = Transient("the last")
    result, work, clock = run(*[Transient("x")] * 3, last)
    assert result is last
    assert (work.tries, clock.slept) == (4, [1, 5, 30])


def test_the_other_sides_advice_wins() -> None:
    result, _, clock = run(Transient("a", retry_after=timedelta(seconds=7)), Transient("b"))
    assert (result, clock.slept) == ("done", [7, 5])


@pytest.mark.parametrize(
    "error", [Permanent("no"), Snooze("later", until=T0), Cancel("nothing"), ValueError("bug"), KeyboardInterrupt()]
)
def test_what_is_not_transient_is_raised_at_once(error: BaseException) -> None:
    result, work, _ = run(error)
    assert result is error
    assert work.tries == 1


def _classify(error: Exception) -> Exception | None:
    known: dict[type, Callable[[], Exception]] = {
        TimeoutError: lambda: Transient("slow", retry_after=timedelta(seconds=2)),
        PermissionError: lambda: Permanent("not allowed"),
    }
    make = known.get(type(error))
    return make() if make else None


def test_a_librarys_exceptions_are_classified() -> None:
    result, _, clock = run(TimeoutError(), TimeoutError(), classify=_classify)
    assert (result, clock.slept) == ("done", [2, 2])


def test_a_classified_refusal_tells_its_cause() -> None:
    cause = PermissionError()
    result, work, _ = run(cause, classify=_classify)
    assert isinstance(result, Permanent)
    assert result.__cause__ is cause
    assert work.tries == 1


def test_what_no_classifier_knows_is_not_retried() -> None:
    error = LookupError()
    result, work, _ = run(error, classify=_classify)
    assert result is error
    assert work.tries == 1


def test_a_wait_that_would_pass_the_deadline_is_not_begun() -> None:
    result, work, clock = run(*[Transient("x")] * 3, deadline=timedelta(seconds=6))
    assert isinstance(result, retry.DeadlineExceeded)
    assert isinstance(result.__cause__, Transient)
    assert (work.tries, clock.slept) == (2, [1])


def test_the_time_the_tries_take_counts() -> None:
    result, work, clock = run(*[Transient("x")] * 3, takes=3, deadline=timedelta(seconds=7))
    assert isinstance(result, retry.DeadlineExceeded)
    assert (work.tries, clock.slept) == (2, [1])


@given(
    delays=st.lists(st.floats(0, 10), min_size=1, max_size=6),
    takes=st.floats(0, 2),
    deadline=st.floats(0, 20),
    advice=st.none() | st.floats(0, 30),
)
def test_no_try_begins_after_the_deadline(
    delays: list[float], takes: float, deadline: float, advice: float | None
) -> None:
    after = None if advice is None else timedelta(seconds=advice)
    failures = [Transient("x", retry_after=after) for _ in range(10)]
    result, work, clock = run(*failures, takes=takes, policy=RetryPolicy(*delays), deadline=timedelta(seconds=deadline))
    assert isinstance(result, Transient)
    assert 1 <= work.tries <= len(delays) + 1
    assert clock.at - 1000 <= max(deadline, 0) + takes + 1e-3
