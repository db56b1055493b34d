"""What an act needs to be told besides its reason: read from a form, the API or a command, kept as JSON.

snooze  hours      reschedule  at      prioritize  priority
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from queues.engine.states import Priority

HOURS_MAX = 24 * 365
YEARS = timedelta(days=366)
PRIORITIES = {priority.name.lower(): priority for priority in Priority}


class Wrong(ValueError):
    """A parameter that is missing or means nothing. `name` says which."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"{name}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """`read` makes of a given value what JSON keeps, or raises ValueError with words."""

    name: str
    label: str
    help: str
    read: Callable[[Any], Any]


def read(wanted: tuple[Parameter, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly the wanted parameters, checked. Raises Wrong, also for one that the act does not know."""
    for name in given:
        if name not in {parameter.name for parameter in wanted}:
            raise Wrong(name, "this act has no such parameter")
    found = {}
    for parameter in wanted:
        if given.get(parameter.name) in (None, ""):
            raise Wrong(parameter.name, "it is needed")
        try:
            found[parameter.name] = parameter.read(given[parameter.name])
        except (ValueError, TypeError, OverflowError) as error:
            raise Wrong(parameter.name, str(error)) from error
    return found


def _hours(value: Any) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= HOURS_MAX):
        raise ValueError(f"a whole number of hours between 1 and {HOURS_MAX:,}")
    return int(text)


def _moment(value: Any) -> str:
    at = value if isinstance(value, datetime) else parse_datetime(str(value))
    if at is None:
        raise ValueError("a time like 2026-03-01T12:00Z")
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if not datetime(2000, 1, 1, tzinfo=UTC) < at < datetime(2200, 1, 1, tzinfo=UTC):
        raise ValueError("a time of this century")
    return at.astimezone(UTC).isoformat()


def _priority(value: Any) -> str:
    if str(value) not in PRIORITIES:
        raise ValueError(f"one of {', '.join(PRIORITIES)}")
    return str(value)


HOURS = Parameter(name="hours", label="Hours", help="They run no earlier than after so many hours.", read=_hours)
AT = Parameter(
    name="at", label="At (UTC)", help="For example 2026-03-01 12:00; a past time means at once.", read=_moment
)
PRIORITY = Parameter(name="priority", label="Priority", help=", ".join(PRIORITIES), read=_priority)
