"""What django-q2 runs for payments: each makes one domain call."""

from __future__ import annotations

from django.utils import timezone

from payments import expiry, refunds


def expire_orders() -> int:
    """Close orders that nobody paid in time."""
    return expiry.expire_due(now=timezone.now())


def send_refunds() -> int:
    """Ask Stripe again for refunds it has not answered."""
    return refunds.send_due(now=timezone.now())
