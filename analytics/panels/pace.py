"""Pacing: what is spent of the budget, against an even spread over the campaign; whatever the range chosen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from analytics import reading
from analytics.panels.panel import Panel, basics
from analytics.periods import Span
from analytics.reading import Question

EVEN = 0.1
"""Up to a tenth away from even is on track."""


def _compute(question: Question) -> dict[str, Any]:
    payload = basics(question, empty=False)
    if question.budget is None or question.starts_on is None:
        return payload | {"state": "no_budget", "budget": None, "spent": None}
    zone = question.period.zone
    start = datetime.combine(question.starts_on, time(), tzinfo=zone)
    spent = reading.totals(question, Span(start, question.as_of + timedelta(minutes=5)))["cost"]
    told = {"budget": question.budget, "spent": spent, "share": round(spent / question.budget, 4)}
    if question.ends_on is None:
        return payload | told | {"state": "over" if spent > question.budget else "open_end", "expected": None}
    end = datetime.combine(question.ends_on + timedelta(days=1), time(), tzinfo=zone)
    passed = min(max((question.as_of - start) / (end - start), 0.0), 1.0)
    expected = round(question.budget * passed)
    return (
        payload
        | told
        | {
            "expected": expected,
            "passed": round(passed, 4),
            "ends_on": question.ends_on.isoformat(),
            "state": _state(spent, expected, question.budget, passed),
            "projected": round(spent / passed) if passed > 0.02 else None,
        }
    )


def _state(spent: int, expected: int, budget: int, passed: float) -> str:
    if spent > budget:
        return "over"
    if passed <= 0:
        return "not_begun"
    if passed >= 1:
        return "ended"
    if abs(spent - expected) <= expected * EVEN:
        return "even"
    return "ahead" if spent > expected else "behind"


def _table(payload: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    currency = payload["currency"].upper()
    head = [f"budget {currency}", f"spent {currency}", f"expected by now {currency}", "state"]
    return head, [
        [
            (payload["budget"], "money"),
            (payload["spent"], "money"),
            (payload.get("expected"), "money"),
            payload["state"],
        ]
    ]


PACING = Panel(
    name="pacing",
    title="Pacing",
    template="analytics/panels/pacing.html",
    compute=_compute,
    table=_table,
)
