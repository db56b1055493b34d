"""Which panels a campaign's page has, in their order."""

from __future__ import annotations

from analytics.panels import cards, credit, days, pace, summary, values
from analytics.panels.panel import Panel

PANELS: dict[str, Panel] = {
    panel.name: panel
    for panel in (
        cards.DELIVERY,
        cards.SPEND,
        cards.RESULTS,
        days.DAYS,
        values.CREATIVES,
        values.BREAKDOWN,
        credit.ATTRIBUTION,
        cards.VIEWABILITY,
        pace.PACING,
    )
}

SUMMARY = summary.SUMMARY.name
ALL: dict[str, Panel] = PANELS | {SUMMARY: summary.SUMMARY}
"""With the one that stands on the overview."""
