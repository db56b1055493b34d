"""Service levels for the desk's pages: each promise with its attainment, its budget and its burn, and in what state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse

from queues.desk import graphs, ranges
from queues.desk.graphs import Graph, Line
from queues.desk.ranges import Range
from queues.monitor import burn, histogram, objective, reading
from queues.monitor.objective import HOUR, Objective
from queues.monitor.reading import Counted, Step

HOT = 1.0
"""A burn rate from which on the budget does not last the 30 days."""
PERCENTILES = ((0.5, "p50", "one"), (0.95, "p95", "two"), (0.99, "p99", "three"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One line of the page of service levels."""

    objective: Objective
    sums: Mapping[timedelta, Counted]
    url: str
    spark: Graph | None = None

    def of(self, length: timedelta) -> Counted:
        """What was counted of the last so long."""
        return self.sums.get(length, Counted())

    @property
    def shares(self) -> list[tuple[Counted, str, bool]]:
        """(counted, share in words, whether the promise was missed) over 1 h, 1 d, 7 d and 30 d."""
        target = self.objective.target or 0
        counts = [self.of(length) for length in reading.LENGTHS]
        return [(each, percent(each.share), each.share is not None and each.share < target) for each in counts]

    @property
    def left(self) -> float | None:
        """The share of the 30 days' budget that is left."""
        target = self.objective.target
        return None if target is None else reading.left(self.of(reading.BUDGET_OF), target=target)

    @property
    def left_words(self) -> str:
        """The same in words."""
        return budget_words(self.left)

    @property
    def burn(self) -> float:
        """Of the last hour."""
        counted = self.of(HOUR)
        return burn.rate(burn.Counts(counted.good, counted.bad), target=self.objective.target or 0)

    @property
    def burn_words(self) -> str:
        """The same in words."""
        return f"{self.burn:.1f} ×" if self.of(HOUR).eligible else "no traffic"

    @property
    def state(self) -> tuple[str, str]:
        """Shape and word."""
        month = self.of(reading.BUDGET_OF)
        if not month.eligible:
            return "note", "No traffic"
        if self.left is not None and self.left < 0:
            return "bad", "Missed"
        if self.burn > HOT and self.of(HOUR).bad >= burn.BAD_LEAST:
            return "warning", "Burning"
        return "good", "Kept"


def levels(*, now: datetime) -> list[Level]:
    """All promises; two statements, and one for each budget's line."""
    summed = reading.sums(now=now)
    return [
        Level(
            objective=each,
            sums=summed.get(each.key, {}),
            url=reverse("monitor:objective", args=[each.key]),
            spark=budget_graph(each, _month(now)),
        )
        for each in objective.promised()
    ]


def _month(now: datetime) -> Range:
    return ranges.read({"range": "30d"}, now=now)


def budget_graph(each: Objective, within: Range) -> Graph:
    """What was left of the budget of 30 days, at every moment of the range (by the hour at the finest)."""
    step = max(within.step, HOUR)
    start = min(objective.hour_of(within.start), within.end - 24 * HOUR if within.length < 24 * HOUR else within.start)
    start = objective.hour_of(start)
    points = reading.budget(each, start=start, end=within.end, step=step)
    values = [share for _, share in points]
    low = min([0.0, *(value for value in values if value is not None)])
    return graphs.draw(
        title=f"Error budget left of 30 days: {each.name}",
        starts=[at - step for at, _ in points],
        step=step,
        lines=[Line("budget left", values, "one")],
        words=lambda value: f"{value * 100:.0f} %",
        nothing="Nothing was due in the 30 days before.",
        bounds=(max(low, -1.0), 1.0),
        mark=0.0 if low < 0 else None,
    )


def share_graph(each: Objective, steps: list[Step], within: Range) -> Graph:
    """The share that was good, step by step."""
    values = [step.counted.share for step in steps]
    known = [value for value in values if value is not None]
    wanted = each.target if each.target is not None else 1.0
    low = min([wanted, *known])
    return graphs.draw(
        title=f"Share that was good: {each.name}",
        starts=[step.start for step in steps],
        step=within.step,
        lines=[Line("good", values, "one")],
        words=lambda value: f"{value * 100:.2f} %",
        nothing=f"Nothing was due in {within.said}.",
        bounds=(max(2 * low - 1, 0.0) if low < 1 else 0.9, 1.0),
        mark=each.target,
    )


def count_graph(each: Objective, steps: list[Step], within: Range) -> Graph:
    """How many were due, and how many of them were bad."""
    seen = [bool(step.counted.eligible or step.counted.excluded or step.counted.paused) for step in steps]
    return graphs.draw(
        title=f"Counted: {each.name}",
        starts=[step.start for step in steps],
        step=within.step,
        lines=[
            Line("bad", [step.counted.bad if has else None for step, has in zip(steps, seen, strict=True)], "bad"),
            Line("all that count", [step.counted.eligible if any(seen) else None for step in steps], "one"),
        ],
        words=lambda value: f"{value:,.0f}",
        nothing=f"Nothing was due in {within.said}.",
    )


def latency_graph(name: str, steps: list[Step], within: Range) -> Graph:
    """Percentiles of each step, from its histogram."""
    lines = [
        Line(label, [_seconds(histogram.percentile(step.counted.histogram, share)) for step in steps], style)
        for share, label, style in PERCENTILES
    ]
    return graphs.draw(
        title=f"How long it took: {name}",
        starts=[step.start for step in steps],
        step=within.step,
        lines=lines,
        words=lasting,
        nothing=f"Nothing was done in {within.said}.",
    )


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def lasting(seconds: float) -> str:
    """A latency for people: `38 ms`, `1.4 s`, `12 min`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def percent(share: float | None) -> str:
    """With as many digits as tell it from the promise."""
    if share is None:
        return "no traffic"
    return "100 %" if share == 1 else f"{min(share * 100, 99.99):.2f} %"


def budget_words(left: float | None) -> str:
    """What is left of a budget."""
    if left is None:
        return "no traffic"
    return f"{left * 100:.0f} %" if left >= 0 else f"overspent {-left * 100:.0f} %"
