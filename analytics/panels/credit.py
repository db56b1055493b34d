"""Attribution: which conversions follow a click within 7 days, which a view within 1 day, and which neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics import reading
from analytics.panels.panel import Panel, basics
from analytics.reading import Question

LABELS = {
    "click": "After a click, within 7 days",
    "view": "After a view, within 1 day",
    "none": "Neither",
}


def _compute(question: Question) -> dict[str, Any]:
    sums = reading.totals(question, question.period.span)
    parts = {
        "click": (sums["click_conversions"], sums["click_revenue"]),
        "view": (sums["view_conversions"], sums["view_revenue"]),
    }
    count, revenue = (sum(each) for each in zip(*parts.values(), strict=True))
    parts["none"] = (sums["conversions"] - count, sums["revenue"] - revenue)
    whole = sums["conversions"]
    return basics(question, empty=not whole) | {
        "rows": [
            {
                "name": name,
                "label": LABELS[name],
                "conversions": count,
                "revenue": revenue,
                "share": round(count / whole, 4) if whole else None,
            }
            for name, (count, revenue) in parts.items()
        ],
    }


def _table(payload: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    head = ["attributed to", "conversions", "share", f"revenue {payload['currency'].upper()}"]
    return head, [
        [row["label"], row["conversions"], row["share"], (row["revenue"], "money")] for row in payload["rows"]
    ]


ATTRIBUTION = Panel(
    name="attribution",
    title="Attribution",
    template="analytics/panels/attribution.html",
    compute=_compute,
    table=_table,
)
