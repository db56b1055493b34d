"""Which keys of a limit were used lately: those of a limit without subjects, or the last ones of many."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from queues.engine.limiter import RateCounter

LOOKED_AT = 200


def keys(name: str, *, now: datetime, seconds: int) -> list[RateCounter]:
    """Counters of the limit that were used within its window, by a range of the primary key; 200 of them at most."""
    # A key is the limit's name, or that, a colon and the subject; ";" follows ":" in every collation's bytes.
    mine = Q(key=name) | Q(key__startswith=f"{name}:")
    recent = RateCounter.objects.filter(mine, used_at__gte=now - timedelta(seconds=seconds))
    return list(recent.order_by("-used_at")[:LOOKED_AT])
