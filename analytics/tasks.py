"""What django-q2 runs for analytics: each makes one domain call."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from analytics import delays, mirror, recount, refreshing, retention, rollups, snapshots, stats


def refresh_rollups() -> int:
    """Add the outbox to the rollups."""
    return rollups.refresh(now=timezone.now()).added


def refresh_watched() -> int:
    """Refresh the panels somebody looked at lately."""
    return refreshing.watched(now=timezone.now())


def compute(campaign_id: int, days: str, views: list[Any]) -> int:
    """Compute panels that took longer than their reader could wait."""
    return refreshing.compute(campaign_id=campaign_id, days=days, views=views, now=timezone.now())


def check_rollups() -> int:
    """Count the rollups anew from raw events; returns how many rows were wrong."""
    return recount.run(now=timezone.now()).repaired


def clean() -> dict[str, int]:
    """Delete snapshots, copies and statistics that nobody needs any more."""
    now = timezone.now()
    return {
        "snapshots": snapshots.clean(now=now),
        "copies": mirror.clean(now=now),
        "stats": stats.clean(now=now),
        "delays": delays.clean(now=now),
    }


def remove_old_events() -> int:
    """Delete raw events that are kept no longer; their sums stay."""
    return retention.remove(now=timezone.now())
