"""Which time a page of measures shows: one of a few lengths up to now, or any two moments of the last 30 days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from queues.monitor import objective, reading

LENGTHS = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
WORDS = {"1h": "1 hour", "6h": "6 hours", "1d": "1 day", "7d": "7 days", "30d": "30 days"}
FORM = "%Y-%m-%dT%H:%M"
"""As a browser's field for date and time gives it; UTC."""
REACH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Range:
    """Whole steps from `start` up to `end`; `problem` says what was wrong with what was asked."""

    start: datetime
    end: datetime
    step: timedelta
    name: str = ""
    """Of the length, if it is one of them."""
    problem: str = ""

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.start

    @property
    def starts(self) -> list[datetime]:
        """Of its steps."""
        return [self.start + place * self.step for place in range(-((self.start - self.end) // self.step))]

    @property
    def query(self) -> str:
        """The same in an address."""
        return f"range={self.name}" if self.name else f"from={self.start:{FORM}}&to={self.end:{FORM}}"

    @property
    def said(self) -> str:
        """In words."""
        if self.name:
            return f"the last {WORDS[self.name]}"
        return f"{self.start:%d %b %H:%M} to {self.end:%d %b %H:%M} UTC"

    @property
    def choices(self) -> list[tuple[str, str, bool]]:
        """(name, words, whether it is shown) of the lengths."""
        return [(name, words, name == self.name) for name, words in WORDS.items()]


def read(given: Mapping[str, str], *, now: datetime, usual: str = "1d") -> Range:
    """What was asked for; what cannot be is said and shown as the usual."""
    if not (given.get("from") or given.get("to")):
        name = given.get("range", "") or usual
        if name not in LENGTHS:
            return _of(usual, now=now, problem=f"There is no range {name[:20]!r}; this is the usual one.")
        return _of(name, now=now)
    try:
        start, end = _moment(given.get("from", "")), _moment(given.get("to", ""))
    except ValueError:
        return _of(usual, now=now, problem="Give both moments as in 2026-03-01T14:00 (UTC).")
    end = min(end, objective.minute_of(now))
    if start >= end:
        return _of(usual, now=now, problem="The beginning is not before the end, or lies in the future.")
    if start < now - REACH - timedelta(hours=1):
        return _of(usual, now=now, problem="Only the last 30 days are kept by the minute and the hour.")
    return _whole(start, end)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text[:40])
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).replace(second=0, microsecond=0)


def _of(name: str, *, now: datetime, problem: str = "") -> Range:
    length = LENGTHS[name]
    found = _whole(objective.minute_of(now) - length, objective.minute_of(now))
    return Range(found.start, found.end, found.step, name, problem)


def _whole(start: datetime, end: datetime) -> Range:
    """From a boundary of the steps on, so that a series of hours is made of whole hours."""
    step = reading.step_of(end - start)
    midnight = start.replace(hour=0, minute=0)
    return Range(midnight + (start - midnight) // step * step, end, step)
