"""Day by day. Today is not over; a day before the campaign began is a gap, not a zero; days of delay are marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics import delays, reading
from analytics.panels.panel import Panel, basics
from analytics.reading import Question

SHOWN = ("impressions", "clicks", "conversions", "cost", "revenue")


def _compute(question: Question) -> dict[str, Any]:
    found = reading.daily(question)
    today = question.as_of.astimezone(question.period.zone).date()
    late = delays.days(campaign_id=question.campaign_id, span=question.period.span, zone=question.period.zone)
    days = []
    for day in question.period.days:
        sums = found.get(day)
        unknown = day > today or (sums is None and question.starts_on is not None and day < question.starts_on)
        values = None if unknown else [sums[name] if sums else 0 for name in SHOWN]
        days.append({"day": day.isoformat(), "open": day >= today, "delayed": day in late, "values": values})
    return basics(question, empty=not found) | {"measures": list(SHOWN), "days": days}


def _table(payload: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    head = [
        "day",
        *(f"{name} {payload['currency'].upper()}" if name in ("cost", "revenue") else name for name in SHOWN),
    ]
    units = ["count", "count", "count", "money", "money"]
    rows = [
        [day["day"], *((value, unit) for value, unit in zip(day["values"] or [None] * len(SHOWN), units, strict=True))]
        for day in payload["days"]
    ]
    return head, rows


DAYS = Panel(
    name="days",
    title="Day by day",
    template="analytics/panels/days.html",
    compute=_compute,
    table=_table,
    key=False,
)
