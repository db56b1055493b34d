"""The figure cards: delivery, spend, results, and viewability."""

from __future__ import annotations

from typing import Any

from analytics import figures
from analytics.panels.panel import Panel, basics, compare, compared_figures, figures_table
from analytics.reading import Question


def _viewability(question: Question) -> dict[str, Any]:
    found = compare(question)
    card = figures.figure("viewability", found.sums, now=found.now, before=found.before)
    counts = {name: found.sums[name] for name in ("impressions", "measured", "viewable")}
    return basics(question, empty=found.empty) | {"figures": [card], "comparison": found.told, **counts}


DELIVERY = Panel(
    name="delivery",
    title="Delivery",
    template="analytics/panels/cards.html",
    compute=lambda question: compared_figures(question, ("impressions", "clicks", "ctr")),
    table=figures_table,
    key=True,
)
SPEND = Panel(
    name="spend",
    title="Spend",
    template="analytics/panels/cards.html",
    compute=lambda question: compared_figures(question, ("spend", "cpm", "cpc", "cpa")),
    table=figures_table,
    key=True,
)
RESULTS = Panel(
    name="results",
    title="Results",
    template="analytics/panels/cards.html",
    compute=lambda question: compared_figures(question, ("conversions", "cvr", "revenue", "roas")),
    table=figures_table,
    key=True,
)
VIEWABILITY = Panel(
    name="viewability",
    title="Viewability",
    template="analytics/panels/viewability.html",
    compute=_viewability,
    table=figures_table,
)
