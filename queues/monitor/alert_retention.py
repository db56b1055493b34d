"""Alerts and their messages past their time: messages go after 90 days, what is resolved after a year."""

from __future__ import annotations

from datetime import datetime, timedelta

from queues.engine import pruning
from queues.monitor.models import Alert, AlertDelivery, Silence

MESSAGES_KEPT = timedelta(days=90)
ALERTS_KEPT = timedelta(days=365)


def clean(*, now: datetime) -> int:
    """Delete what is old; returns how many rows."""
    return (
        pruning.prune(AlertDelivery.objects.filter(created_at__lt=now - MESSAGES_KEPT, next_try_at__isnull=True))
        + pruning.prune(Alert.objects.filter(state=Alert.State.RESOLVED, resolved_at__lt=now - ALERTS_KEPT))
        + pruning.prune(Silence.objects.filter(until__lt=now - ALERTS_KEPT))
    )
