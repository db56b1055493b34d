"""What django-q2 runs for analytics: each makes one domain call."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from analytics import refreshing, rollups


def refresh_rollups() -> int:
    """Add the outbox to the rollups."""
    return rollups.refresh(now=timezone.now()).added


def refresh_watched() -> int:
    """Refresh the panels somebody looked at lately."""
    return refreshing.watched(now=timezone.now())


def compute(campaign_id: int, days: str, views: list[Any]) -> int:
    """Compute panels that took longer than their reader could wait."""
    return refreshing.compute(campaign_id=campaign_id, days=days, views=views, now=timezone.now())
