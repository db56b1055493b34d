"""Refreshing on a reader's wish, and in the background."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import DatabaseError, InterfaceError

from analytics import board, guard, header, periods, rollups, snapshots
from analytics.header import Header
from analytics.models import Campaign, PanelSnapshot
from analytics.panels.page import ALL
from analytics.periods import Asked, BadRange
from queues.engine import limiter, log
from queues.engine.registry import Limit

LIMIT = "analytics.refresh"
EACH = timedelta(seconds=2)
"""Of one panel, while somebody waits for the button."""
WATCHED_WITHIN = timedelta(minutes=15)
WATCHED_MAX = 200
OUTBOX_MAX = 20_000

logger = log.get(__name__)


def now(*, user_id: int, header: Header, asked: Asked, now: datetime) -> str:
    """Refresh a page at once. Returns `done`, or `wait-<seconds>` if it was refreshed a moment ago."""
    grant = limiter.take([Limit(LIMIT, f"{user_id}.{header.id}")])
    if not grant.granted:
        # Its clock is the database's, which may be a little off ours.
        window = limiter.allowance(LIMIT)[1]
        left = (grant.until - now).total_seconds() if grant.until else window
        return f"wait-{min(max(round(left), 1), window)}"
    try:
        rollups.refresh(now=now, limit=OUTBOX_MAX)
    except (DatabaseError, InterfaceError):
        logger.exception("analytics.refresh_failed")
    board.build(header=header, asked=asked, chosen={}, now=now, each=EACH, force=True)
    return "done"


def compute(*, campaign_id: int, days: str, views: Sequence[tuple[str, dict[str, str]]], now: datetime) -> int:
    """Compute views with all the time a query may take; returns how many panels have figures now."""
    campaign = Campaign.objects.filter(pk=campaign_id).first()
    if campaign is None:
        return 0
    try:
        asked = periods.read(dict([part.split("=") for part in days.split("&")]), zone=campaign.zone, now=now)
    except (BadRange, ValueError):
        return 0
    good = 0
    known = [(panel, options) for panel, options in views if panel in ALL]
    while known:
        # One board has one view of each panel.
        taken = dict(known)
        known = [(panel, options) for panel, options in known if taken[panel] != options]
        built = board.build(
            header=header.of(campaign),
            asked=asked,
            chosen=taken,
            names=tuple(taken),
            now=now,
            each=guard.BUDGET,
            force=True,
            reader=False,
        )
        good += sum(not shown.delayed for shown in built.panels)
    return good


def watched(*, now: datetime) -> int:
    """Refresh what somebody looked at lately, so that open pages and the next look find fresh figures."""
    rows = snapshots.watched(now=now, within=WATCHED_WITHIN, limit=WATCHED_MAX)
    latest = rollups.as_of()
    due = [row for row in rows if row.as_of is None or latest is None or row.as_of < latest or row.last_outcome != "ok"]
    good = 0
    for (campaign_id, days), group in groupby(sorted(due, key=_page), key=_page):
        views = [(row.panel, dict(row.view["options"])) for row in group]
        good += compute(campaign_id=campaign_id, days=days, views=views, now=now)
    return good


def _page(row: PanelSnapshot) -> tuple[int, Any]:
    return row.campaign_id or 0, row.view["days"]
