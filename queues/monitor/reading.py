"""Reading the rollups: sums over a time, series of steps, budgets. Pages, alerts and metrics read these rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, Sum

from queues.monitor import histogram, objective
from queues.monitor.models import SloHour, SloMinute
from queues.monitor.objective import HOUR, MINUTE, Objective

NUMBERS = ("good", "bad", "excluded", "paused")
BUDGET_OF = timedelta(days=30)
LENGTHS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), BUDGET_OF)
STEPS = (
    (timedelta(hours=2), MINUTE),
    (timedelta(hours=6), 5 * MINUTE),
    (timedelta(days=1), 15 * MINUTE),
    (timedelta(days=4), HOUR),
    (timedelta(days=10), 3 * HOUR),
    (timedelta(days=31), 6 * HOUR),
    (timedelta(days=400), 24 * HOUR),
)
"""(a range up to that long, is shown in steps of)"""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was good and bad of some time."""

    good: int = 0
    bad: int = 0
    excluded: int = 0
    paused: int = 0
    histogram: Mapping[str, int] = field(default_factory=dict)

    @property
    def eligible(self) -> int:
        """All that count."""
        return self.good + self.bad

    @property
    def share(self) -> float | None:
        """The share that was good; None of nothing."""
        return self.good / self.eligible if self.eligible else None

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.good + other.good,
            self.bad + other.bad,
            self.excluded + other.excluded,
            self.paused + other.paused,
            histogram.merged((self.histogram, other.histogram)),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One point of a series: what was due from `start` on, for the series' step."""

    start: datetime
    counted: Counted


def sums(*, now: datetime, lengths: Sequence[timedelta] = LENGTHS) -> dict[str, dict[timedelta, Counted]]:
    """Objective → length → what was due in the last so long before the minute of `now`. Two statements for all.

    Whole hours from hour rows; the minutes at both ends from minutes. Without histograms.
    """
    end = objective.minute_of(now)
    last = objective.hour_of(end)
    minutes, hours = {}, {}
    for length in lengths:
        begin = end - length
        first = begin if begin == objective.hour_of(begin) else objective.hour_of(begin) + HOUR
        if first >= last:
            minutes[length] = Q(minute__gte=begin, minute__lt=end)
        else:
            minutes[length] = Q(minute__gte=begin, minute__lt=first) | Q(minute__gte=last, minute__lt=end)
            hours[length] = Q(hour__gte=first, hour__lt=last)
    found: dict[str, dict[timedelta, Counted]] = {}
    for model, wanted in ((SloMinute, minutes), (SloHour, hours)):
        for key, length, counted in _summed(model, wanted):
            held = found.setdefault(key, {})
            held[length] = held.get(length, Counted()) + counted
    return found


def _summed(model: Any, wanted: Mapping[timedelta, Q]) -> Iterable[tuple[str, timedelta, Counted]]:
    if not wanted:
        return
    places = list(enumerate(wanted.items()))
    parts = {f"{name}_{place}": Sum(name, filter=each) for place, (_, each) in places for name in NUMBERS}
    any_of = Q()
    for each in wanted.values():
        any_of |= each
    rows: Iterable[Any] = model.objects.filter(any_of).values("objective").order_by().annotate(**parts)
    for row in rows:
        for place, (length, _) in places:
            good, bad, excluded, paused = (row[f"{name}_{place}"] or 0 for name in NUMBERS)
            yield row["objective"], length, Counted(good, bad, excluded, paused)


def over(key: str, *, start: datetime, end: datetime) -> Counted:
    """One objective's exact sum over whole minutes, with its histogram."""
    first = objective.hour_of(start + HOUR - timedelta(microseconds=1))
    last = objective.hour_of(end)
    if first >= last:
        return _total([counted for _, counted in _rows(key, start=start, end=end, fine=True)])
    ends = [(start, first, True), (first, last, False), (last, end, True)]
    return _total([each for low, high, fine in ends for _, each in _rows(key, start=low, end=high, fine=fine)])


def step_of(length: timedelta) -> timedelta:
    """The step in which a range of that length is shown."""
    return next((step for most, step in STEPS if length <= most), STEPS[-1][1])


def series(key: str, *, start: datetime, end: datetime, step: timedelta) -> list[Step]:
    """An objective in steps from `start`; steps in which nothing was due are there, and empty."""
    count = max(-((start - end) // step), 0)
    found: list[list[Counted]] = [[] for _ in range(count)]
    for at, counted in _rows(key, start=start, end=end, fine=step < HOUR or end - start <= timedelta(hours=6)):
        found[(at - start) // step].append(counted)
    return [Step(start + place * step, _total(parts)) for place, parts in enumerate(found)]


def _rows(key: str, *, start: datetime, end: datetime, fine: bool) -> Iterable[tuple[datetime, Counted]]:
    """Minutes of a short time, hours of a long one; the last hour's minutes belong to its row already."""
    model, column = (SloMinute, "minute") if fine else (SloHour, "hour")
    first = start if fine else objective.hour_of(start)
    wanted = {f"{column}__gte": first, f"{column}__lt": end}
    rows: Iterable[Any] = model.objects.filter(objective=key, **wanted).order_by(column)
    for row in rows:
        counted = Counted(row.good, row.bad, row.excluded, row.paused, row.histogram)
        yield max(getattr(row, column), start), counted


def _total(parts: Sequence[Counted]) -> Counted:
    return Counted(
        sum(part.good for part in parts),
        sum(part.bad for part in parts),
        sum(part.excluded for part in parts),
        sum(part.paused for part in parts),
        histogram.merged(part.histogram for part in parts),
    )


def left(counted: Counted, *, target: float) -> float | None:
    """The share of the error budget that is left: 1 all of it, 0 none, below 0 overspent; None of no traffic."""
    if not counted.eligible:
        return None
    return 1 - counted.bad / (counted.eligible * (1 - target))


def budget(each: Objective, *, start: datetime, end: datetime, step: timedelta) -> list[tuple[datetime, float | None]]:
    """At the end of each step: what was left then of the budget of the 30 days before. From hour rows."""
    if each.target is None:
        return []
    rows = SloHour.objects.filter(objective=each.key, hour__gte=start - BUDGET_OF, hour__lt=end).order_by("hour")
    hours = list(rows.values_list("hour", "good", "bad"))
    points, first, last, good, bad = [], 0, 0, 0, 0
    at = start + step
    while at <= end + step - timedelta(microseconds=1):
        until = min(at, end)
        while last < len(hours) and hours[last][0] < until:
            good, bad, last = good + hours[last][1], bad + hours[last][2], last + 1
        while first < last and hours[first][0] < until - BUDGET_OF:
            good, bad, first = good - hours[first][1], bad - hours[first][2], first + 1
        points.append((until, left(Counted(good, bad), target=each.target)))
        at += step
    return points
