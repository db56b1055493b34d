"""Attribution: which conversions follow a click within 7 days, which a view within 1 day, and which neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics import figures
from analytics.panels.panel import Panel, basics, compare
from analytics.reading import Question

LABELS = {
    "click": "After a click, within 7 days",
    "view": "After a view, within 1 day",
    "none": "Neither",
}
BETTER = {"click": "up", "view": "up", "none": ""}


def _compute(question: Question) -> dict[str, Any]:
    found = compare(question)
    whole, parts = found.sums["conversions"], _parts(found.sums)
    now, before = _parts(found.now), _parts(found.before)
    return basics(question, empty=not whole) | {
        "comparison": found.told,
        "rows": [
            {
                "name": name,
                "label": LABELS[name],
                "unit": "count",
                "conversions": count,
                "revenue": revenue,
                "share": round(count / whole, 4) if whole else None,
                "change": figures.change(now[name][0], before[name][0], better=BETTER[name]),
            }
            for name, (count, revenue) in parts.items()
        ],
    }


def _parts(sums: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Conversions and revenue of each."""
    click = (sums["click_conversions"], sums["click_revenue"])
    view = (sums["view_conversions"], sums["view_revenue"])
    rest = (sums["conversions"] - click[0] - view[0], sums["revenue"] - click[1] - view[1])
    return {"click": click, "view": view, "none": rest}


def _table(payload: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    head = ["attributed to", "conversions", "share", f"revenue {payload['currency'].upper()}", "previous", "change"]
    return head, [
        [
            row["label"],
            row["conversions"],
            row["share"],
            (row["revenue"], "money"),
            row["change"]["before"],
            row["change"]["share"],
        ]
        for row in payload["rows"]
    ]


ATTRIBUTION = Panel(
    name="attribution",
    title="Attribution",
    template="analytics/panels/attribution.html",
    compute=_compute,
    table=_table,
)
