"""The retry decision as a table, and what holds for any schedule."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from queues.email.queue import POLICY
from queues.engine.policy import RETRY_AFTER_MAX, RetryPolicy

SCHEDULE = RetryPolicy(1, 5, 30)
HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("attempts", "max_retries", "retry_after", "seconds"),
    [
        (1, None, None, 1),
        (2, None, None, 5),
        (3, None, None, 30),
        (4, None, None, None),
        (5, None, None, None),
        (32_767, None, None, None),
        (1, 0, None, None),
        (1, 1, None, 1),
        (2, 1, None, None),
        (4, 6, None, 30),
        (6, 6, None, 30),
        (7, 6, None, None),
        (1, None, 120, 120),
        (3, None, 0, 0),
        (2, None, -5, 0),
        (4, None, 120, None),
        (1, 0, 120, None),
        (5, 9, 7, 7),
        (1, None, 10 * DAY, DAY),
        (1, None, 10**13, DAY),
        (0, None, None, 1),
    ],
)
def test_how_long_to_wait(
    attempts: int, max_retries: int | None, retry_after: int | None, seconds: float | None
) -> None:
    advice = None if retry_after is None else timedelta(seconds=retry_after)
    delay = SCHEDULE.delay(attempts=attempts, max_retries=max_retries, retry_after=advice)
    assert delay == (None if seconds is None else timedelta(seconds=seconds))


def test_the_schedule_of_mails_is_dead_after_five_retries_and_about_36_minutes() -> None:
    delays = [POLICY.delay(attempts=attempt) for attempt in range(1, 7)]
    assert delays[5] is None
    waits = [delay.total_seconds() for delay in delays[:5] if delay]
    assert waits == [1, 5, 30, 300, 1800]
    assert sum(waits) == 2136


@pytest.mark.parametrize("delays", [(), (-1,), (1, -0.1), (float("nan"),), (float("inf"),)])
def test_a_schedule_that_means_nothing_is_refused(delays: tuple[float, ...]) -> None:
    with pytest.raises(ValueError):
        RetryPolicy(*delays)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    delays=st.lists(st.floats(0, 1e6), min_size=1, max_size=8),
    attempts=st.integers(1, 40),
    max_retries=st.none() | st.integers(0, 30),
    advice=st.none() | st.timedeltas(),
    jitter=st.floats(0, 1),
)
def test_any_schedule(
    settings: Settings,
    delays: list[float],
    attempts: int,
    max_retries: int | None,
    advice: timedelta | None,
    jitter: float,
) -> None:
    settings.RETRY_JITTER = jitter
    policy = RetryPolicy(*delays)
    delay = policy.delay(attempts=attempts, max_retries=max_retries, retry_after=advice)

    allowed = policy.max_retries if max_retries is None else max_retries
    assert (delay is None) == (attempts > allowed)
    if delay is None:
        return
    assert delay >= timedelta()
    if advice is not None:
        assert delay == min(max(advice, timedelta()), RETRY_AFTER_MAX)
        return
    planned = delays[min(attempts, len(delays)) - 1]
    assert planned * (1 - jitter) - 1e-5 <= delay.total_seconds() <= planned * (1 + jitter) + 1e-5


def test_retries_are_spread_by_a_tenth(settings: Settings) -> None:
    settings.RETRY_JITTER = 0.1
    seconds = [SCHEDULE.delay(attempts=3).total_seconds() for _ in range(500)]  # type: ignore[union-attr]
    assert 27 <= min(seconds) < 28
    assert 32 < max(seconds) <= 33
