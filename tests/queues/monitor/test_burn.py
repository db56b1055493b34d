"""Burn-rate rules: as published, quiet for 30 days of health, awake within minutes of an outage; a simulated clock."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Callable
from datetime import timedelta

import pytest

from queues.monitor import burn
from queues.monitor.burn import PAIRS, Counts

pytestmark = pytest.mark.once

FAST, SLOW, DAY, DAYS = PAIRS
MONTH = 30 * 24 * 60
TARGETS = (0.95, 0.98, 0.99, 0.995, 0.999)
VOLUMES = (6, 20, 200, 2000)


def test_the_windows_are_the_published_ones():
    """SRE Workbook chapter 5 and Sloth's google-30d: short = long / 12, factor = budget share × 30 d / long."""
    for pair, share in zip(PAIRS, (0.02, 0.05, 0.10, 0.10), strict=True):
        assert pair.short == pair.long / 12
        assert pair.factor == pytest.approx(share * timedelta(days=30) / pair.long)
    assert [pair.severity for pair in PAIRS] == ["page", "page", "ticket", "ticket"]


@pytest.mark.parametrize(
    ("long", "short", "holds"),
    [
        (Counts(856, 144), Counts(80, 20), True),  # 14.4 % of a 1 % budget, exactly
        (Counts(857, 143), Counts(80, 20), False),
        (Counts(856, 144), Counts(100, 10), False),  # it was bad, and is over
        (Counts(0, 2), Counts(0, 2), False),  # two failures at night are nobody's page
        (Counts(0, 3), Counts(0, 1), True),
        (Counts(0, 0), Counts(0, 0), False),
    ],
)
def test_both_windows_and_three_bad_events(long: Counts, short: Counts, holds: bool):
    """All three conditions are needed."""
    assert bool(burn.burning(FAST, long=long, short=short, target=0.99)) is holds


def test_a_low_target_can_still_page():
    """14.4 × 10 % is more than everything: then "everything is bad" has to do."""
    assert burn.burning(FAST, long=Counts(0, 9), short=Counts(0, 3), target=0.90)
    assert not burn.burning(FAST, long=Counts(1, 9), short=Counts(0, 3), target=0.90)


def test_the_most_urgent_of_each_kind_is_told():
    """A total outage holds all four; one page and one ticket are enough."""
    found = burn.judge(lambda _: Counts(0, 50), target=0.99)
    assert {severity: held.pair for severity, held in found.items()} == {"page": FAST, "ticket": DAY}
    assert burn.judge(lambda _: Counts(985, 15), target=0.99)["ticket"].pair is DAYS
    assert set(burn.windows()) == {length for pair in PAIRS for length in (pair.long, pair.short)}
    with pytest.raises(ValueError):
        burn.judge(lambda _: Counts(1, 1), target=1.0)


class History:
    """Minutes of good and bad events, summed up front, so that any window is two look-ups."""

    def __init__(self, minutes: list[Counts]) -> None:
        self.good = [0, *itertools.accumulate(each.good for each in minutes)]
        self.bad = [0, *itertools.accumulate(each.bad for each in minutes)]

    def at(self, minute: int) -> Callable[[timedelta], Counts]:
        """What an evaluation at the end of that minute sees."""

        def counted(length: timedelta) -> Counts:
            since = max(0, minute + 1 - int(length.total_seconds() // 60))
            return Counts(self.good[minute + 1] - self.good[since], self.bad[minute + 1] - self.bad[since])

        return counted


def arrivals(rng: random.Random, an_hour: float) -> int:
    """Events of one minute of a Poisson stream."""
    count, product = 0, rng.random()
    limit = 2.718281828459045 ** -(an_hour / 60)
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


def false_pages(*, an_hour: int, target: float, seed: int) -> int:
    """Pages of 30 days in which half the budget is spent, evenly at random: that is health."""
    rng = random.Random(seed)
    minutes = []
    for _ in range(MONTH):
        count = arrivals(rng, an_hour)
        bad = rng.binomialvariate(count, (1 - target) / 2) if count else 0
        minutes.append(Counts(count - bad, bad))
    history, pages, paging_until = History(minutes), 0, -1
    for minute, counts in enumerate(minutes):
        # Only a bad event can make a rule true that was not. A page stands for an hour before it is told again.
        if counts.bad and minute > paging_until and "page" in burn.judge(history.at(minute), target=target):
            pages, paging_until = pages + 1, minute + 60
    return pages


@pytest.mark.parametrize("an_hour", VOLUMES)
def test_thirty_healthy_days_page_at_most_once(an_hour: int):
    """At every volume and target; `≥ 3 bad` is what makes it so."""
    found = {target: false_pages(an_hour=an_hour, target=target, seed=7) for target in TARGETS}
    assert all(pages <= 1 for pages in found.values()), found


def minutes_to_page(starts: list[float], *, target: float, known_after: float, due_age: float | None) -> float:
    """Minutes from the beginning of a total outage (after a day of health) to the first page.

    `starts`: when the events of the outage fall due. Each is known to be bad `known_after` minutes later;
    `due_age`: the rule without traffic pages when the oldest has waited so long (5 minutes, seen for one more).
    """
    healthy = [Counts(1, 0) if minute % 3 == 0 else Counts(0, 0) for minute in range(24 * 60)]
    outage = [sum(minute <= at + known_after < minute + 1 for at in starts) for minute in range(60)]
    history = History([*healthy, *(Counts(0, bad) for bad in outage)])
    for minute in range(60):
        if "page" in burn.judge(history.at(24 * 60 + minute), target=target):
            return minute + 1
        if due_age is not None and minute + 1 - starts[0] > due_age:
            return minute + 1
    return 60


@pytest.mark.parametrize("target", TARGETS)
def test_an_outage_at_twenty_events_an_hour_pages_within_ten_minutes(target: float):
    """One event every three minutes, wherever between two of them the outage begins; evaluated once a minute."""
    for phase in (0.01, 0.5, 1.0, 1.5, 2.0, 2.5, 2.99):
        starts = [phase + 3 * number for number in range(20)]
        assert minutes_to_page(starts, target=target, known_after=1, due_age=6) <= 10, phase
    phases = [[phase / 10 + 3 * number for number in range(20)] for phase in range(30)]
    alone = [minutes_to_page(starts, target=target, known_after=1, due_age=None) for starts in phases]
    # 14.4 × 2 % of an hour are 17 minutes of it: below 99 % the rules without traffic are the fast ones.
    assert target < 0.99 or statistics.median(alone) <= 10


def test_an_outage_in_irregular_traffic():
    """Poisson arrivals, twenty an hour: half of the outages page within ten minutes, almost all within twenty."""
    rng, found = random.Random(11), []
    for _ in range(300):
        starts = list(itertools.accumulate(rng.expovariate(20 / 60) for _ in range(30)))
        found.append(minutes_to_page(starts, target=0.98, known_after=1, due_age=6))
    deciles = statistics.quantiles(found, n=20)
    assert statistics.median(found) <= 10
    assert deciles[18] <= 20
