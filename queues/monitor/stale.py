"""Marks of minutes that must be counted again, because something about them came late."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from queues.monitor import objective
from queues.monitor.models import StaleMinute


def mark(keys: Iterable[str], at: Iterable[datetime]) -> int:
    """Have the minutes of these moments counted again for these objectives. In the transaction of what came late."""
    minutes = {objective.minute_of(each) for each in at}
    rows = [StaleMinute(objective=key, minute=minute) for key in keys for minute in sorted(minutes)]
    return len(StaleMinute.objects.bulk_create(rows))
