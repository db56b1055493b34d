"""What every panel is, and the parts of a payload that several share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from analytics import figures, periods, reading
from analytics.models import MEASURES
from analytics.periods import Span
from analytics.reading import Question


class BadOption(ValueError):
    """A panel's option is not one it has; `name` says which."""

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        super().__init__(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel. `compute` answers with its payload; `table` lays the payload out as a heading and rows, for CSV."""

    name: str
    title: str
    template: str
    compute: Callable[[Question], dict[str, Any]]
    table: Callable[[Mapping[str, Any]], tuple[list[str], list[list[Any]]]]
    options: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    """The options of its address: name -> what it may be."""
    key: bool = False
    """Whether a delay of this one alone is worth the banner."""

    def chosen(self, query: Mapping[str, str]) -> dict[str, str]:
        """Its options among an address's parameters, named `<panel>.<option>`. Raises BadOption."""
        found = {}
        for name, form in self.options.items():
            text = query.get(f"{self.name}.{name}", "")
            if text and not form.fullmatch(text):
                raise BadOption(f"{self.name}.{name}", "There is no such choice.")
            if text:
                found[name] = text
        return found


def whole(payload: Any, question: Question) -> bool:
    """Whether a payload is what a panel of this campaign answers: what is not is treated like a failed query."""
    return (
        isinstance(payload, dict)
        and payload.get("campaign") == question.campaign_id
        and payload.get("from") == question.period.first.isoformat()
        and isinstance(payload.get("empty"), bool)
    )


def basics(question: Question, *, empty: bool) -> dict[str, Any]:
    """What every payload says of itself."""
    period = question.period
    return {
        "campaign": question.campaign_id,
        "currency": question.currency,
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "empty": empty,
        "notes": [],
    }


@dataclass(frozen=True, slots=True)
class Compared:
    """The sums of the whole period, and of the two spans that may be compared."""

    sums: dict[str, int]
    now: dict[str, int]
    before: dict[str, int]
    told: dict[str, Any]

    @property
    def empty(self) -> bool:
        """Whether nothing at all was recorded in the period."""
        return not any(self.sums.values())


def compare(question: Question, sums: dict[str, int] | None = None) -> Compared:
    """Ask for the period (unless its sums are known) and for the one before, aligned to the hours elapsed."""
    period = question.period
    cut = period.cut(as_of=question.as_of)
    previous = period.previous
    before_cut = period.previous_cut(cut=cut)
    if sums is None:
        sums = reading.totals(question, period.span)
    whole_period = cut >= period.span.end
    now = sums if whole_period else reading.totals(question, Span(period.span.start, cut))
    before = reading.totals(question, Span(previous.span.start, before_cut))
    told = {
        "basis": "full period" if whole_period else "same hours",
        "from": previous.first.isoformat(),
        "to": previous.last.isoformat(),
        "days": periods.words(previous.first, previous.last),
        "words": _basis(question, cut, whole_period=whole_period),
    }
    return Compared(sums, now, before, told)


def compared_figures(question: Question, names: tuple[str, ...]) -> dict[str, Any]:
    """The payload of a panel of figure cards, each with its line of days."""
    days = reading.daily(question)
    found = compare(question, {name: sum(day[name] for day in days.values()) for name in MEASURES})
    today = question.as_of.astimezone(question.period.zone).date()  # not over: its line would always end in a fall
    cards = []
    for name in names:
        card = figures.figure(name, found.sums, now=found.now, before=found.before)
        card["days"] = [
            figures.value(name, days.get(day, figures.EMPTY)) for day in question.period.days if day < today
        ]
        cards.append(card)
    return basics(question, empty=found.empty) | {"figures": cards, "comparison": found.told}


def figures_table(payload: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Figure cards as rows."""
    head = ["figure", "value", "unit", "previous", "change"]
    rows = [
        [
            each["label"],
            (each["value"], each["unit"]),
            payload["currency"].upper() if each["unit"] == "money" else each["unit"],
            (each["change"]["before"], each["unit"]),
            each["change"]["share"],
        ]
        for each in payload["figures"]
    ]
    return head, rows


def _basis(question: Question, cut: Any, *, whole_period: bool) -> str:
    previous = question.period.previous
    days = periods.words(previous.first, previous.last)
    if whole_period:
        return f"compared with {days}"
    until = cut.astimezone(question.period.zone)
    if until.date() == question.period.first and question.period.elapsed_hours(cut=cut) == 0:
        return "too early to compare: the first hour is not over"
    return f"compared with {days}, each up to {until:%H:%M} of the last day"
