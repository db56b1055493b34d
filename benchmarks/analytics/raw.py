"""The same page from raw events: what one would have without rollups; the floor that they must beat."""

from __future__ import annotations

from django.db import connection

from analytics.periods import Period

SUMS = """count(CASE WHEN kind = 'impression' THEN 1 END), count(CASE WHEN kind = 'click' THEN 1 END),
    count(CASE WHEN kind = 'conversion' THEN 1 END), sum(cost), sum(revenue),
    count(viewable), count(CASE WHEN viewable THEN 1 END)"""
WHERE = "FROM analytics_event WHERE campaign_id = %s AND occurred_at >= %s AND occurred_at < %s AND drop_reason = ''"


def page(campaign_id: int, period: Period) -> None:
    """Ask what the nine panels ask: totals, the period before, days, creatives, a breakdown."""
    day = "date_trunc('day', occurred_at)" if connection.vendor == "postgresql" else "substr(occurred_at, 1, 10)"
    span, before = period.span, period.previous.span
    with connection.cursor() as cursor:
        for start, end in ((span.start, span.end), (before.start, before.end)):
            cursor.execute(f"SELECT {SUMS} {WHERE}", [campaign_id, start, end])
            cursor.fetchall()
        for group in (day, "creative_id", "country", "attribution"):
            cursor.execute(f"SELECT {group}, {SUMS} {WHERE} GROUP BY 1", [campaign_id, span.start, span.end])
            cursor.fetchall()
