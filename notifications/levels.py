"""What push promises, counted for the monitor: accepted by the push service, and confirmed by the device beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from notifications.models import PushDelivery
from queues.monitor import durations, timed
from queues.monitor.items import Items
from queues.monitor.objective import Spender
from queues.monitor.timed import said


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed(Items):
    """Of the accepted ones, those whose device said within the target that it had them. Counted once that is over."""

    model: Any = PushDelivery
    queue: str = "push"
    early: bool = False
    where: Q = field(default_factory=lambda: Q(purpose=PushDelivery.Purpose.NOTIFY, accepted_at__isnull=False))

    def timed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """From acceptance to the device's own word."""
        with_took: QuerySet[Any] = rows.annotate(
            took=durations.Milliseconds(F("accepted_at"), Coalesce("delivered_at", "opened_at"))
        )
        return with_took

    def verdict(self, start: datetime, end: datetime, *, now: datetime) -> Case:
        """Heard of in time or not."""
        return said(When(took__lte=self.limit, then=Value("good")), When(due__lt=now, then=Value("bad")))

    def late(self, since: datetime, until: datetime) -> tuple[()]:
        """What is confirmed after the target stays unconfirmed."""
        return ()

    def spender(self, row: Any) -> Spender:
        """The push nobody confirmed."""
        return Spender(
            label=f"push {row.pk}", due_at=row.due, why="not confirmed", url=timed.changed(row), item_id=row.pk
        )
