"""The two figures of the push objectives: how many were accepted in time, and how many of those reached the device.

    accepted / eligible     ≥ 95 % within the TTL          confirmed / accepted     the device's own word

Eligible is what could have been taken: not what was suppressed or given up by staff, and not what went to an address
that turned out to be dead. What still has time is not judged yet. No service reports delivery, so `confirmed` is a
lower bound: a device without our client confirms nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Q
from django.db.models.functions import Coalesce

from notifications.models import PushDelivery
from notifications.sending import words
from queues.engine.states import Status

DEAD_ADDRESS = "dead address"
"""How `failed_reason` begins where the address was called dead."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of the pushes that were wanted in a span of time."""

    eligible: int
    accepted: int
    """Within their TTL."""
    confirmed: int
    """Acknowledged by the device."""

    @property
    def accepted_share(self) -> float | None:
        """None where nothing was eligible: no share, not a perfect one."""
        return self.accepted / self.eligible if self.eligible else None

    @property
    def confirmed_share(self) -> float | None:
        """Of the accepted ones."""
        return self.confirmed / self.accepted if self.accepted else None


def between(*, since: datetime, until: datetime, now: datetime) -> Figures:
    """Of notifications first wanted in [since, until), as they stand at `now`; reads only that span of the index."""
    in_time = Q(accepted_at__isnull=False) & (Q(expires_at=None) | Q(accepted_at__lte=F("expires_at")))
    late = Q(accepted_at__isnull=False) & ~in_time
    given_up = Q(status=Status.DEAD_LETTER) & ~Q(failed_reason__startswith=DEAD_ADDRESS)
    expired = Q(status=Status.CANCELLED, last_code="expired") | Q(expires_at__lte=now, status__in=words.UNFINISHED)
    rows = PushDelivery.objects.annotate(wanted_at=Coalesce("first_due_at", "created_at"))
    found = rows.filter(wanted_at__gte=since, wanted_at__lt=until, purpose=PushDelivery.Purpose.NOTIFY).aggregate(
        accepted=Count("pk", filter=in_time),
        confirmed=Count("pk", filter=in_time & Q(delivered_at__isnull=False)),
        missed=Count("pk", filter=late | (Q(accepted_at=None) & (given_up | expired))),
    )
    return Figures(found["accepted"] + found["missed"], found["accepted"], found["confirmed"])
