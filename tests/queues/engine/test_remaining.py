"""What callers are told is left: what the limiter would still grant, and when it will grant more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from queues.engine import limiter, remaining
from queues.engine.registry import Limit

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
HOURLY = Limit("thing", "a")


@pytest.fixture(autouse=True)
def _limits(settings: Settings) -> None:
    settings.RATE_LIMITS = {"thing": (5, 3600), "other": (2, 60)}


def left(*, at: datetime) -> tuple[int, int]:
    (found,) = remaining.of([HOURLY], now=at)
    assert (found.name, found.limit, found.window_seconds) == ("thing", 5, 3600)
    return found.units, found.reset_seconds


def test_what_is_said_to_be_left_is_granted_and_no_more():
    assert left(at=NOW) == (5, 0)
    for used in range(1, 6):
        assert limiter.take([HOURLY], at=NOW).granted
        units, reset = left(at=NOW)
        assert units == 5 - used
        assert 3600 <= reset <= 3660
    refused = limiter.take([HOURLY], at=NOW)
    assert refused.until is not None
    assert left(at=NOW)[1] == (refused.until - NOW).total_seconds()
    assert left(at=refused.until) == (5, 0)
    assert limiter.take([HOURLY], at=refused.until).granted


def test_it_grows_as_the_first_units_leave_the_window():
    limiter.take([HOURLY], at=NOW)
    limiter.take([HOURLY], at=NOW + timedelta(minutes=30))
    assert left(at=NOW + timedelta(minutes=59))[0] == 3
    units, reset = left(at=NOW + timedelta(minutes=61))
    assert units == 4
    assert 28 * 60 < reset <= 31 * 60


def test_every_limit_has_its_own_count():
    limiter.take([HOURLY, Limit("other", "b")], at=NOW)
    found = remaining.of([Limit("other", "b"), HOURLY, Limit("thing", "c")], now=NOW)
    assert [(each.name, each.units) for each in found] == [("other", 1), ("thing", 4), ("thing", 5)]
