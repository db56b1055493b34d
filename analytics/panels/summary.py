"""A campaign in one line of the overview."""

from __future__ import annotations

from typing import Any

from analytics.panels.panel import Panel, compared_figures, figures_table
from analytics.reading import Question

NAMES = ("impressions", "clicks", "ctr", "conversions", "spend", "roas")


def _compute(question: Question) -> dict[str, Any]:
    return compared_figures(question, NAMES)


SUMMARY = Panel(
    name="summary",
    title="Summary",
    template="analytics/panels/cards.html",
    compute=_compute,
    table=figures_table,
)
