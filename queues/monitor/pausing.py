"""When staff had queues paused, kept after the pause itself is gone: what was late meanwhile is told apart."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from queues.monitor.models import PauseSpan


def began(*, queue: str, kind: str, now: datetime, ends_at: datetime | None) -> None:
    """A pause begins; in its transaction."""
    PauseSpan.objects.create(queue=queue, kind=kind, began_at=now, ends_at=ends_at)


def ended(*, queue: str, kind: str, now: datetime) -> None:
    """It was resumed, before its time or at last; in that transaction."""
    still = Q(ends_at__isnull=True) | Q(ends_at__gt=now)
    PauseSpan.objects.filter(still, queue=queue, kind=kind).update(ends_at=now)
