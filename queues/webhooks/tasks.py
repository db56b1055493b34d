"""What django-q2 runs of the webhook room: each makes one domain call."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from queues.webhooks import retention, sweep


def sweep_stripe() -> dict[str, int]:
    """Store what Stripe's list of events has and we do not; nothing where no key is set."""
    if not settings.STRIPE_API_KEY:
        return {}
    found = sweep.sweep(now=timezone.now())
    return {"listed": found.listed, "missing": found.missing}


def remove_old_events() -> dict[str, int]:
    """Remove payloads and rows of events that finished long ago."""
    return retention.remove_all(now=timezone.now())
