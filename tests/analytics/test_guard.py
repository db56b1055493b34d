"""The guard by itself: what is repeated at once, how long everything may take together, and who is to blame."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError

from analytics import board, fuse, guard, header, retry_budget
from analytics.guard import Failure, Later, Result
from analytics.models import Campaign
from analytics.panels.page import PANELS
from analytics.periods import Asked
from tests.analytics.world import NOW, campaign, event, tell

pytestmark = pytest.mark.django_db


class Waits(list[float]):
    """A clock that sleeps in no time and tells how long it would have."""

    def monotonic(self) -> float:
        return sum(self)

    def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture(autouse=True)
def _as_new() -> Iterator[None]:
    fuse.FUSE.succeeded()
    retry_budget.RETRIES.forget()
    yield
    fuse.FUSE.succeeded()
    retry_budget.RETRIES.forget()


@pytest.fixture
def spring() -> Campaign:
    of = campaign()
    tell(of, event(of))
    return of


def asks(of: Campaign, *names: str, compute: Callable[[Any], Any] | None = None) -> list[guard.Ask]:
    """These panels' questions; with another `compute` than their own."""
    asked = Asked()
    made = [
        board._ask(board.View(of.pk, name, asked.query), header.of(of), asked.period(zone=of.zone, now=NOW))
        for name in names
    ]
    changed = {"compute": compute} if compute else {}
    return [
        dataclasses.replace(ask, key=ask.panel.name, panel=dataclasses.replace(ask.panel, **changed)) for ask in made
    ]


def lost(times: int) -> Callable[[Any], Any]:
    """The connection is lost so many times; then delivery's own figures."""
    number = itertools.count()

    def compute(question: Any) -> Any:
        if next(number) < times:
            raise InterfaceError("connection already closed")
        return PANELS["delivery"].compute(question)

    return compute


@pytest.mark.parametrize(("times", "waited", "good"), [(1, [0.2], True), (2, [0.2, 0.6], True), (9, [0.2, 0.6], False)])
def test_a_lost_connection_is_tried_three_times_within_the_five_seconds(
    spring: Campaign, times: int, waited: list[float], good: bool
):
    clock = Waits()
    answer = guard.ask(asks(spring, "delivery", compute=lost(times)), clock=clock)["delivery"]
    assert list(clock) == waited
    assert answer.attempts == len(waited) + 1
    assert isinstance(answer, Result if good else Failure)
    assert good or answer.code == "database_unreachable"


def test_who_has_saved_figures_waits_for_no_repetition(spring: Campaign):
    clock = Waits()
    answers = guard.ask(asks(spring, *PANELS, compute=lost(9)), altogether=board.PATIENCE, patient=False, clock=clock)
    assert list(clock) == []
    assert {answer.code for answer in answers.values()} == {"database_unreachable"}


def endless(question: Any) -> Any:
    from analytics import drill

    return drill.rehearse("timeout", using="default")


def test_what_took_too_long_is_not_repeated(spring: Campaign):
    clock = Waits()
    answer = guard.ask(asks(spring, "days", compute=endless), each=timedelta(seconds=0.05), clock=clock)["days"]
    assert (answer.code, answer.attempts, list(clock)) == ("query_timeout", 1, [])
    assert 40 <= answer.milliseconds < 5000


def test_all_together_have_one_budget_and_who_had_no_time_is_not_to_blame(spring: Campaign):
    both = [*asks(spring, "days", compute=endless), *asks(spring, "spend", compute=endless), *asks(spring, "pacing")]
    answers = guard.ask(both, each=timedelta(seconds=0.1), altogether=timedelta(seconds=0.15))
    assert answers["days"].code == "query_timeout"
    assert isinstance(answers["spend"], Later)
    assert isinstance(answers["pacing"], Later)


def test_panels_that_want_the_same_sums_ask_once(spring: Campaign, django_assert_max_num_queries: Any):
    with django_assert_max_num_queries(60) as asked:
        answers = guard.ask(asks(spring, *PANELS))
    assert all(isinstance(answer, Result) for answer in answers.values())
    sums = [query["sql"] for query in asked if query["sql"].startswith(("SELECT sum", "SELECT day", "SELECT value"))]
    assert len(sums) == len(set(sums))
    assert guard.ask(asks(spring, "delivery"))["delivery"].payload["figures"][0]["value"] == 1
    tell(spring, event(spring))
    assert guard.ask(asks(spring, "delivery"))["delivery"].payload["figures"][0]["value"] == 2, "and not for ever"


def test_a_tenth_of_the_queries_of_a_minute_may_be_repeated_and_ten_in_any_case():
    budget = retry_budget.RetryBudget()
    assert budget.may_repeat(9, at=0)
    assert not budget.may_repeat(9, at=1)
    assert budget.may_repeat(1, at=1)
    budget.asked(500, at=2)
    assert budget.may_repeat(40, at=3)
    assert not budget.may_repeat(1, at=3)
    assert budget.may_repeat(9, at=64), "a minute later it is as it was"


def test_a_process_that_repeated_enough_gives_up_at_once(spring: Campaign):
    clock = Waits()
    assert retry_budget.RETRIES.may_repeat(retry_budget.ALWAYS)
    answer = guard.ask(asks(spring, "delivery", compute=lost(9)), clock=clock)["delivery"]
    assert (answer.code, answer.attempts, list(clock)) == ("database_unreachable", 1, [])


def test_a_worker_lands_before_its_flight_is_lost():
    assert board.WORKER < board.snapshots.FLIGHT
