"""The days a reader asked for, in the campaign's own time zone, and the period before them to compare with.

previous period            this period
|---------------|..........|---------------|..........|
start           cut        start           cut = the last full hour that is complete (`as_of`)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

PRESETS = (7, 14, 30, 90)
DEFAULT = 30
DAYS_MAX = 90


class BadRange(ValueError):
    """The days cannot be shown. `code` is stable; `offer` is a query that can be, with `offer_words` for its link."""

    def __init__(self, code: str, words: str, *, offer: str = "", offer_words: str = "") -> None:
        self.code, self.offer, self.offer_words = code, offer, offer_words
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader asked for: the last so many days, or from one day to another."""

    days: int | None = DEFAULT
    first: date | None = None
    last: date | None = None

    @property
    def query(self) -> str:
        """As it stands in an address."""
        return f"days={self.days}" if self.days else f"from={self.first}&to={self.last}"

    def period(self, *, zone: ZoneInfo, now: datetime) -> Period:
        """The days themselves."""
        today = now.astimezone(zone).date()
        if self.days is not None:
            return Period(today - timedelta(days=self.days - 1), today, zone)
        assert self.first is not None
        assert self.last is not None
        return Period(self.first, min(self.last, today), zone)


def read(query: Mapping[str, str], *, zone: ZoneInfo, now: datetime) -> Asked:
    """What `?days=30`, or `?from=2026-03-01&to=2026-03-14`, asks for. Raises BadRange."""
    if "from" in query or "to" in query:
        return _custom(query.get("from", ""), query.get("to", ""), today=now.astimezone(zone).date())
    text = query.get("days", str(DEFAULT))
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) == 0:
        raise BadRange("bad_dates", "Choose a number of days, such as 30.", offer="days=30", offer_words="Show 30 days")
    if int(text) > DAYS_MAX:
        words = f"Choose up to {DAYS_MAX} days. You asked for {int(text)}; show the last {DAYS_MAX}?"
        raise BadRange("range_too_long", words, offer=f"days={DAYS_MAX}", offer_words=f"Show {DAYS_MAX} days")
    return Asked(int(text))


def _custom(first_text: str, last_text: str, *, today: date) -> Asked:
    try:
        first, last = date.fromisoformat(first_text), date.fromisoformat(last_text)
        if len(first_text) != 10 or len(last_text) != 10:
            raise ValueError
    except ValueError:
        words = "Write both dates like 2026-03-01."
        raise BadRange("bad_dates", words, offer="days=30", offer_words="Show the last 30 days") from None
    if first > last:
        words = "The start date is after the end date. Swap them?"
        raise BadRange("dates_reversed", words, offer=f"from={last}&to={first}", offer_words="Swap")
    asked = (last - first).days + 1
    if asked > DAYS_MAX:
        earliest = last - timedelta(days=DAYS_MAX - 1)
        words = f"Choose up to {DAYS_MAX} days. You asked for {asked}; show the last {DAYS_MAX}?"
        offer = f"from={earliest}&to={last}"
        raise BadRange("range_too_long", words, offer=offer, offer_words=f"Show {DAYS_MAX} days")
    if first > today or first.year < 2000:
        words = "These days have no figures yet." if first > today else "There is nothing before the year 2000."
        raise BadRange("bad_dates", words, offer="days=30", offer_words="Show the last 30 days")
    return Asked(None, first, last)


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant up to, not including, another."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """Local days, both included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def length(self) -> int:
        """In days."""
        return (self.last - self.first).days + 1

    @property
    def days(self) -> list[date]:
        """Each of them."""
        return [self.first + timedelta(days=number) for number in range(self.length)]

    @property
    def span(self) -> Span:
        """From local midnight to local midnight."""
        return Span(self._instant(self.first), self._instant(self.last + timedelta(days=1)))

    @property
    def previous(self) -> Period:
        """As many days before."""
        return Period(self.first - timedelta(days=self.length), self.first - timedelta(days=1), self.zone)

    def cut(self, *, as_of: datetime) -> datetime:
        """Up to when it is compared: its end, or the last full hour that is complete."""
        span = self.span
        if as_of >= span.end:
            return span.end
        local = as_of.astimezone(self.zone)
        return max(span.start, local.replace(minute=0, second=0, microsecond=0).astimezone(UTC))

    def previous_cut(self, *, cut: datetime) -> datetime:
        """The same local hour that many days before: two days of a clock change differ by an hour, and are compared
        by what the clock showed.
        """
        before = self.previous.span
        if cut >= self.span.end:
            return before.end
        local = cut.astimezone(self.zone)
        day = local.date() - timedelta(days=self.length)
        return min(max(self._instant(day, local.time()), before.start), before.end)

    def elapsed_hours(self, *, cut: datetime) -> int:
        """Full hours of the open day up to the cut."""
        local = cut.astimezone(self.zone)
        return math.floor((cut - self._instant(local.date())).total_seconds() / 3600)

    def _instant(self, day: date, at: time = time()) -> datetime:
        return datetime.combine(day, at.replace(tzinfo=None), tzinfo=self.zone).astimezone(UTC)


def words(first: date, last: date) -> str:
    """`1–7 Nov`, `28 Oct – 3 Nov`, with the year where it is not one."""
    if first == last:
        return f"{first.day} {first:%b}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{last.day} {last:%b}"
    form = "%b %Y" if first.year != last.year else "%b"
    return f"{first.day} {first.strftime(form)} – {last.day} {last.strftime(form)}"
