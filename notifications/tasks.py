"""What django-q2 runs for push: each makes one domain call."""

from __future__ import annotations

from django.utils import timezone

from notifications.devices import housekeeping
from notifications.sending import retention


def remove_old_pushes() -> dict[str, int]:
    """Remove contents and rows of deliveries that finished long ago."""
    return retention.remove_all(now=timezone.now())


def age_devices() -> dict[str, int]:
    """What was not seen for long sleeps, then ends; addresses of what has ended are forgotten."""
    return housekeeping.daily(now=timezone.now())


def remove_old_devices() -> dict[str, int]:
    """Delete devices that ended long ago."""
    return housekeeping.weekly(now=timezone.now())
