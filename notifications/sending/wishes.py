"""What a user wants pushed, and when: preferences by category, and quiet hours in the user's own time zone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from notifications.models import Preference

EVERYTHING = ""
"""The category that stands for all of them: switched off, nothing is wanted."""

type Rows = Mapping[int, Mapping[str, Preference]]
"""Preferences by user and category."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one user wants of one category."""

    wanted: bool = True
    quiet_from: time | None = None
    quiet_until: time | None = None
    time_zone: str = "UTC"


def read(users: Iterable[int]) -> Rows:
    """The preferences of these users, in one query."""
    rows: dict[int, dict[str, Preference]] = defaultdict(dict)
    for row in Preference.objects.filter(user__in=set(users)):
        rows[row.user_id][row.category] = row
    return rows


def of(rows: Rows, *, user: int | None, category: str) -> Wish:
    """The user's wish for a category: what is off for everything is off, and quiet hours of its own win."""
    if user is None or user not in rows:
        return Wish()
    known = [row for name in (category, EVERYTHING) if (row := rows[user].get(name)) is not None]
    hours = next((row for row in known if row.quiet_from is not None and row.quiet_until is not None), None)
    wanted = all(row.wanted for row in known)
    return Wish(wanted, hours.quiet_from, hours.quiet_until, hours.time_zone) if hours else Wish(wanted)


def quiet_until(wish: Wish, *, at: datetime) -> datetime | None:
    """When the quiet hours that `at` lies in end; None if it lies in none.

    Wall-clock times: a night in which the clock is put forward or back is an hour shorter or longer.
    """
    begins, ends = wish.quiet_from, wish.quiet_until
    if begins is None or ends is None or begins == ends:
        return None
    local = at.astimezone(_zone(wish.time_zone))
    clock = local.time()
    inside = begins <= clock < ends if begins < ends else clock >= begins or clock < ends
    if not inside:
        return None
    day = local.date() + timedelta(days=1) if clock >= ends else local.date()
    over = datetime.combine(day, ends, tzinfo=local.tzinfo)
    if over.astimezone(UTC) <= at:  # the hour that the clock shows twice, the second time
        over = over.replace(fold=1)
    return over.astimezone(UTC)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
