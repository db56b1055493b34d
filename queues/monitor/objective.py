"""`Objective`: a promise as data, and `Tally`: what one minute did to it. The list is in config/objectives.py.

A source knows the rows: it counts minutes, finds the items that spent the budget, and says what came late. A minute is
that of the time when the work was due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Tally:
    """One minute's numbers."""

    good: int = 0
    bad: int = 0
    excluded: int = 0
    paused: int = 0
    histogram: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.good or self.bad or self.excluded or self.paused or self.histogram)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spender:
    """An item that spent budget: what it is, when it was due, why it counts as bad, and where the desk shows it."""

    label: str
    due_at: datetime
    why: str
    url: str = ""
    item_id: int | None = None


class Source(Protocol):
    """Where an objective's rows come from."""

    @property
    def settles(self) -> timedelta:
        """A minute says nothing new once it is that long over, but for what is late."""

    @property
    def early(self) -> bool:
        """Whether a minute is worth counting before it has settled."""

    def count(self, start: datetime, end: datetime, *, now: datetime) -> Mapping[datetime, Tally]:
        """The minutes from `start` up to `end` that have any rows, as known at `now`."""

    def late(self, since: datetime, until: datetime) -> Iterable[datetime]:
        """Minutes that something recorded in that time changed afterwards."""

    def spenders(self, start: datetime, end: datetime, *, now: datetime, limit: int) -> Sequence[Spender]:
        """The bad ones of that time, newest first."""

    def link(self, spenders: Sequence[Spender]) -> str:
        """The desk's list of exactly these; "" where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One promise (or, without a target, a measure shown beside one)."""

    key: str
    name: str
    capability: str
    """The public name of what the customer feels, and the status page's line."""
    source: Source
    target: float | None = None
    """The share that must be good, as of 0.99."""
    counts: str
    """What counts, in words."""
    good: str
    excluded: str = "Nothing."
    beside: str = ""
    """The objective it is shown with."""
    aim: timedelta | None = None
    """Nine in ten take less."""
    coarse: bool = False
    """Whether its latencies are known by a few classes only."""
    public: bool = True
    """Whether the status page goes by it."""

    def __post_init__(self) -> None:
        if self.target is not None and not 0 < self.target < 1:
            raise ValueError(f"{self.key}: a target is a share between 0 and 1")


_projects: list[Callable[[], Iterable[Objective]]] = []


def fill(project: Callable[[], Iterable[Objective]]) -> None:
    """Say who knows the project's objectives; called once, while the apps become ready. They are asked for when they
    are wanted, since queues may still be registered.
    """
    _projects[:] = [project]


def everything() -> list[Objective]:
    """All, in the order of the project's list."""
    return [objective for project in _projects for objective in project()]


def get(key: str) -> Objective:
    """One of them. Raises LookupError."""
    for objective in everything():
        if objective.key == key:
            return objective
    raise LookupError(f"there is no objective {key!r}")


def promised() -> list[Objective]:
    """Those with a target."""
    return [objective for objective in everything() if objective.target is not None]


def minute_of(at: datetime) -> datetime:
    """When the minute of that moment begins."""
    return at.replace(second=0, microsecond=0)


def hour_of(at: datetime) -> datetime:
    """When the hour of that moment begins."""
    return at.replace(minute=0, second=0, microsecond=0)
