"""The alert rule about figures that cannot be refreshed: three failures in a row, of a campaign or of the rollups."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from analytics import watch
from analytics.models import Campaign, RefreshState
from queues.monitor.models import Severity
from queues.monitor.rules import Finding, Rule

RULE_NAME = "figures_stale"
CAPABILITY = "Analytics"
CAMPAIGN = "campaign:"


def failing(now: datetime) -> Iterable[Finding]:
    """Every scope whose last three refreshes failed."""
    rows = list(RefreshState.objects.filter(consecutive_failures__gte=watch.THRESHOLD).order_by("scope"))
    ids = [int(row.scope.removeprefix(CAMPAIGN)) for row in rows if row.scope.startswith(CAMPAIGN)]
    names = dict(Campaign.objects.filter(pk__in=ids).values_list("pk", "name"))
    for row in rows:
        number = row.scope.removeprefix(CAMPAIGN)
        mine = names.get(int(number)) if row.scope.startswith(CAMPAIGN) else None
        what = f"Figures of “{mine}”" if mine else f"Figures ({row.scope})"
        yield Finding(
            scope=row.scope,
            words=f"{what} cannot be refreshed: {row.consecutive_failures:,} refreshes in a row failed. Customers see"
            " the last confirmed figures with their age.",
            values={"failures": row.consecutive_failures, "capability": CAPABILITY},
            path=f"/analytics/campaigns/{number}/" if mine else "/admin/analytics/refreshstate/",
        )


RULE = Rule(
    name=RULE_NAME,
    title="Figures cannot be refreshed",
    severity=Severity.TICKET,
    look=failing,
    clears=timedelta(0),
    advice="The log's line `analytics.refresh_failing` names the panels, the page a reference for each. A time-out:"
    " look at the database's load. One panel alone: its query is wrong. Customers keep the last good figures.",
)
