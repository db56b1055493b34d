"""Retention of raw events: the sums stay for ever, what they were added up from goes after a set time.

`Campaign.raw_from` is the first local day whose events are all still there. It moves before anything is deleted, and in
one transaction with nothing else, so that a recount never takes half a day for a whole one.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q

from analytics import attribution, judge
from analytics.models import Campaign, Event
from queues.engine import log

DAYS = 400
"""By default; the setting RETENTION_EVENTS_DAYS wins."""
DAYS_MIN = judge.AGE_MAX.days + attribution.CLICK_WINDOW.days + 1
"""An event that would still be taken must still be known, or sending it again would count it twice; and a conversion
that is still taken must find its click.
"""
BATCH = 1000
"""Events of one transaction."""
BLIND = attribution.CLICK_WINDOW + timedelta(days=1)
"""So long after `raw_from` a conversion may be owed to a click that is gone: its day is not recounted either."""

logger = log.get(__name__)


def remove(*, now: datetime, batch: int = BATCH) -> int:
    """Delete the raw events of days that are old enough; returns how many."""
    days = max(int(getattr(settings, "RETENTION_EVENTS_DAYS", DAYS)), DAYS_MIN)
    removed = 0
    for campaign in Campaign.objects.order_by("pk").iterator(chunk_size=500):
        keep_from = now.astimezone(campaign.zone).date() - timedelta(days=days)
        removed += _remove(campaign, keep_from, batch)
    if removed:
        logger.info("analytics.events_removed", events=removed, days=days)
    return removed


def checkable_from(raw_from: date | None) -> date:
    """The first day that can be worked out anew from raw events."""
    return raw_from + BLIND if raw_from else date.min


def _remove(campaign: Campaign, keep_from: date, batch: int) -> int:
    before = datetime.combine(keep_from, time(), tzinfo=campaign.zone)
    old: Any = Event.objects.filter(campaign=campaign, occurred_at__lt=before)
    if not old.exists():
        return 0
    earlier = Q(raw_from__isnull=True) | Q(raw_from__lt=keep_from)
    Campaign.objects.filter(earlier, pk=campaign.pk).update(raw_from=keep_from)
    removed = 0
    while True:
        with transaction.atomic():
            ids = list(old.order_by("occurred_at").values_list("pk", flat=True)[:batch])
            removed += _delete(Event.objects.filter(pk__in=ids)) if ids else 0
        if len(ids) < batch:
            return removed


def _delete(rows: models.QuerySet[Event]) -> int:
    """Without looking for what refers to an event: nothing does."""
    return int(rows._raw_delete(rows.db))
