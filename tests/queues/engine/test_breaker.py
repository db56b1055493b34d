"""The breaker, shared by all workers: opens after five failures in a row, lets one probe through, closes on success."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queues.engine import breaker
from queues.engine.breaker import OPEN_FOR, THRESHOLD, Breaker
from tests.queues.engine.conftest import T0
from tests.queues.engine.threads import together

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def fail(times: int, *, name: str = "smtp") -> object:
    return [breaker.failed(name=name, words="no", now=T0) for _ in range(times)][-1]


def test_nothing_known_is_closed() -> None:
    reading = breaker.read(names=["smtp"], now=T0)
    assert (reading.open_until, reading.half_open, reading.shaken) == ({}, frozenset(), frozenset())


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    assert fail(THRESHOLD - 1) is None
    assert breaker.read(names=["smtp"], now=T0).shaken == {"smtp"}
    assert fail(1) == T0 + OPEN_FOR
    reading = breaker.read(names=["smtp", "other"], now=T0 + OPEN_FOR - SECOND)
    assert reading.open_until == {"smtp": T0 + OPEN_FOR}


def test_a_success_in_between_starts_the_count_again() -> None:
    fail(THRESHOLD - 1)
    breaker.succeeded(name="smtp", now=T0)
    assert breaker.read(names=["smtp"], now=T0).shaken == frozenset()
    assert fail(THRESHOLD - 1) is None


def test_another_transport_is_another_breaker() -> None:
    fail(THRESHOLD)
    assert breaker.read(names=["other"], now=T0).open_until == {}


def test_when_its_time_is_up_one_probe_decides() -> None:
    fail(THRESHOLD)
    over = T0 + OPEN_FOR
    assert breaker.probing(name="smtp", now=over - SECOND) is False
    assert breaker.read(names=["smtp"], now=over).half_open == {"smtp"}
    assert breaker.probing(name="smtp", now=over) is True
    assert breaker.probing(name="smtp", now=over) is False
    assert breaker.failed(name="smtp", words="no", now=over) == over + OPEN_FOR
    assert breaker.probing(name="smtp", now=over + OPEN_FOR) is True
    breaker.succeeded(name="smtp", now=over + OPEN_FOR)
    assert breaker.read(names=["smtp"], now=over + OPEN_FOR).shaken == frozenset()


def test_a_prober_that_dies_is_followed_by_another() -> None:
    fail(THRESHOLD)
    over = T0 + OPEN_FOR
    assert breaker.probing(name="smtp", now=over)
    assert breaker.probing(name="smtp", now=over + OPEN_FOR)


def test_a_closed_breaker_needs_no_probe() -> None:
    fail(1)
    assert breaker.probing(name="smtp", now=T0 + OPEN_FOR) is False


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_probes_and_every_failure_counts() -> None:
    together(*[lambda: breaker.failed(name="smtp", words="no", now=T0)] * 8)
    assert Breaker.objects.get().failures == 8
    won = together(*[lambda: breaker.probing(name="smtp", now=T0 + OPEN_FOR)] * 8)
    assert sum(won) == 1
