"""System checks of the analytics settings."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error

from analytics import retention


def events_stay_long_enough() -> Iterator[CheckMessage]:
    """An event that is still taken must be known as long."""
    if settings.RETENTION_EVENTS_DAYS < retention.DAYS_MIN:
        yield Error(
            f"RETENTION_EVENTS_DAYS={settings.RETENTION_EVENTS_DAYS} is too short: an event sent again late would be "
            "counted twice, and a late conversion would not find its click.",
            hint=f"At least {retention.DAYS_MIN}.",
            id="redrive.E030",
        )
