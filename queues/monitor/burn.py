"""Burn-rate rules as data: an alert when the error budget is spent too fast, over a long and a short window at once.

The windows are those of the Google SRE Workbook, chapter 5 (30 days), with Sloth's second ticket pair: the long one
says that it matters, the short one (a twelfth of it) that it goes on. The published factors work from about 200 events
an hour; below that a single failure would page, so the long window must hold at least three bad events. What is then
found too late (few events; a target below 99 %, where 14.4 × the budget is most of an hour) the rules that need no
traffic find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

type Severity = Literal["page", "ticket"]

BAD_LEAST = 3
"""Bad events in the long window, below which nothing fires (simulated: 9.9 false pages in 30 days become none)."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of a window."""

    good: int
    bad: int

    @property
    def eligible(self) -> int:
        """All that count."""
        return self.good + self.bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One rule: both windows burn at `factor` or faster."""

    name: str
    long: timedelta
    short: timedelta
    factor: float
    severity: Severity


PAIRS = (
    Pair(name="fast", long=timedelta(hours=1), short=timedelta(minutes=5), factor=14.4, severity="page"),
    Pair(name="slow", long=timedelta(hours=6), short=timedelta(minutes=30), factor=6, severity="page"),
    Pair(name="day", long=timedelta(days=1), short=timedelta(hours=2), factor=3, severity="ticket"),
    Pair(name="days", long=timedelta(days=3), short=timedelta(hours=6), factor=1, severity="ticket"),
)
"""In order of urgency. Budget spent when each fires: 2 %, 5 %, 10 %, 10 % of 30 days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burning:
    """A rule that holds, with the figures that made it."""

    pair: Pair
    rate_long: float
    rate_short: float
    bad: int
    """In the long window."""
    eligible: int


def rate(counts: Counts, *, target: float) -> float:
    """The budget spent over the budget allowed: 1 spends exactly what `target` (0.99, say) leaves. No traffic: 0."""
    if not counts.eligible:
        return 0.0
    return counts.bad / counts.eligible / (1 - target)


def burning(pair: Pair, *, long: Counts, short: Counts, target: float) -> Burning | None:
    """Whether one rule holds."""
    if long.bad < BAD_LEAST:
        return None
    rates = rate(long, target=target), rate(short, target=target)
    # A target so low that even all bad does not reach the factor is burnt by "all bad" (push: 95 %, 14.4 is 72 %).
    needed = min(pair.factor, 1 / (1 - target))
    if min(rates) < needed - 1e-9:
        return None
    return Burning(pair=pair, rate_long=rates[0], rate_short=rates[1], bad=long.bad, eligible=long.eligible)


def judge(
    counted: Callable[[timedelta], Counts], *, target: float, pairs: Sequence[Pair] = PAIRS
) -> dict[Severity, Burning]:
    """The most urgent rule that holds, for each severity. `counted` gives the events of the last so much time."""
    if not 0 < target < 1:
        raise ValueError("a target is a share between 0 and 1")
    found: dict[Severity, Burning] = {}
    for pair in pairs:
        if pair.severity in found:
            continue
        long = counted(pair.long)
        if long.bad >= BAD_LEAST and (held := burning(pair, long=long, short=counted(pair.short), target=target)):
            found[pair.severity] = held
    return found


def windows(pairs: Sequence[Pair] = PAIRS) -> tuple[timedelta, ...]:
    """Every length of time the rules look at, each once, shortest first."""
    return tuple(sorted({length for pair in pairs for length in (pair.long, pair.short)}))
