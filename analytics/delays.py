"""Spells in which a campaign's figures could not be refreshed: as long as its page had the banner.

Drawn as hatched days in the charts, so that who looks back sees when figures were late.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q

from analytics.models import Delay
from analytics.periods import Span

TRIES = 2
SHARE = 0.25
"""Of the panels, if no main one is among them."""
KEPT = timedelta(days=400)


def begin(*, campaign_id: int, now: datetime) -> None:
    """It goes on from now; one at a time."""
    Delay.objects.bulk_create([Delay(campaign_id=campaign_id, began_at=now)], ignore_conflicts=True)


def end(*, campaign_id: int, now: datetime) -> None:
    """It is over."""
    Delay.objects.filter(campaign_id=campaign_id, ended_at__isnull=True).update(ended_at=now)


def days(*, campaign_id: int, span: Span, zone: ZoneInfo) -> set[date]:
    """The local days of the span that had one."""
    over = Q(ended_at__isnull=True) | Q(ended_at__gte=span.start)
    found = set()
    for row in Delay.objects.filter(over, campaign_id=campaign_id, began_at__lt=span.end).order_by("began_at"):
        day, last = (
            min(max(moment, span.start), span.end).astimezone(zone).date()
            for moment in (row.began_at, row.ended_at or span.end)
        )
        last = min(last, (span.end - timedelta(microseconds=1)).astimezone(zone).date())
        while day <= last:
            found.add(day)
            day += timedelta(days=1)
    return found


def clean(*, now: datetime) -> int:
    """Delete those of long ago."""
    return Delay.objects.filter(ended_at__lt=now - KEPT).delete()[0]
