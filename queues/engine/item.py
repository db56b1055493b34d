"""`QueueItem`: the abstract row that every queue's table is made of; concrete queues add their payload."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from queues.engine.states import FINISHED, WAITING, Priority, Status


class QueueItemQuerySet(models.QuerySet["QueueItem"]):
    """Filters by state; transitions are in `claim`, `settle` and `transitions`."""

    def waiting(self) -> Self:
        """Pending or retrying, due or not."""
        return self.filter(status__in=WAITING)

    def due(self, *, now: datetime) -> Self:
        """What a claim may take at `now`."""
        return self.waiting().filter(due_at__lte=now)

    def dead(self) -> Self:
        """Dead letters."""
        return self.filter(status=Status.DEAD_LETTER)

    def finished(self) -> Self:
        """Succeeded or cancelled."""
        return self.filter(status__in=FINISHED)

    def shown(self) -> Self:
        """Without what staff purged (hidden, restorable for seven days)."""
        return self.filter(hidden_at__isnull=True)


class QueueItem(models.Model):
    """One piece of work. Times are UTC; `attempts` counts runs since the last redrive, `runs` all of them."""

    SETTLED_FIELDS: ClassVar[tuple[str, ...]] = ()
    """Columns of the concrete model that a settlement may set besides the state (a provider's id, say)."""
    LANES: ClassVar[bool] = False
    """Whether items of this queue carry lanes; a claim then takes at most one item a lane."""
    FAILS_BY: ClassVar[tuple[str, ...]] = ()
    """What tells failures of this queue apart besides their cause: `kind` (the type), `via` (the handler)."""

    status = models.CharField(max_length=12, choices=Status, default=Status.PENDING, db_default=Status.PENDING)
    kind = models.CharField("type", max_length=100, blank=True, default="", db_default="")
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL, db_default=Priority.NORMAL)
    idempotency_key = models.CharField(max_length=255)
    content_hash = models.CharField(max_length=64, default="", db_default="", editable=False)
    lane = models.CharField(max_length=255, null=True, blank=True)

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    due_at = models.DateTimeField(db_default=Now())
    first_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When it was wanted first, if not at once: `due_at` moves with every retry, and service levels go by this."""
    expires_at = models.DateTimeField(null=True, blank=True)
    origin = models.CharField(max_length=130, null=True, editable=False)
    """Which request enqueued it (`queues.engine.origin`); NULL for none."""
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    runs = models.PositiveIntegerField(default=0, db_default=0)
    max_retries = models.PositiveSmallIntegerField(null=True, blank=True)
    version = models.PositiveIntegerField(default=0, db_default=0)
    """Grows with every transition, so that a plan made earlier can tell what changed in between."""

    lease_token = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    leased_by = models.CharField(max_length=100, default="", db_default="", editable=False)

    waits_for = models.CharField(max_length=100, default="", db_default="", editable=False)
    """Why `due_at` is what it is when that is not the schedule: `rate:email.recipient`, `uncertain`."""
    uncertain_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_code = models.CharField(max_length=100, default="", db_default="", editable=False)
    last_words = models.TextField(default="", db_default="", editable=False)
    fingerprint = models.CharField(max_length=16, default="", db_default="", editable=False)
    """Of the last failure; "" once it has succeeded."""
    succeeded_at = models.DateTimeField(null=True, editable=False)
    cancelled_at = models.DateTimeField(null=True, editable=False)
    dead_at = models.DateTimeField(null=True, editable=False)
    hidden_at = models.DateTimeField(null=True, editable=False)

    objects = QueueItemQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key"], name="%(class)s_one_row_a_key"),
            models.UniqueConstraint(
                fields=["lane"],
                condition=Q(status=Status.PROCESSING, lane__isnull=False),
                name="%(class)s_one_running_a_lane",
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="%(class)s_known_status"),
            models.CheckConstraint(condition=Q(priority__in=Priority.values), name="%(class)s_known_priority"),
            models.CheckConstraint(
                condition=Q(status=Status.PROCESSING, lease_token__isnull=False, leased_until__isnull=False)
                | (~Q(status=Status.PROCESSING) & Q(lease_token__isnull=True, leased_until__isnull=True)),
                name="%(class)s_lease_while_processing",
            ),
        ]
        indexes = [
            models.Index("priority", "due_at", "id", condition=Q(status__in=WAITING), name="%(class)s_due"),
            models.Index(fields=["leased_until"], condition=Q(status=Status.PROCESSING), name="%(class)s_leased"),
            models.Index(
                fields=["expires_at"],
                condition=Q(status__in=WAITING, expires_at__isnull=False),
                name="%(class)s_expiring",
            ),
            models.Index(
                "lane",
                "priority",
                "due_at",
                "id",
                condition=Q(status__in=WAITING, lane__isnull=False),
                name="%(class)s_lane_due",
            ),
            models.Index(F("dead_at").desc(), condition=Q(status=Status.DEAD_LETTER), name="%(class)s_dead"),
            models.Index(Coalesce("first_due_at", "created_at"), name="%(class)s_first_due"),
            models.Index(
                fields=["fingerprint", "dead_at", "id"],
                condition=~Q(fingerprint=""),
                name="%(class)s_failing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    @property
    def finished_at(self) -> datetime | None:
        """When it reached the final state it is in now, if it is in one."""
        return {
            Status.SUCCEEDED.value: self.succeeded_at,
            Status.CANCELLED.value: self.cancelled_at,
            Status.DEAD_LETTER.value: self.dead_at,
        }.get(self.status)


def fresh_key() -> str:
    """An idempotency key for who gave none: unique, and in order of time, so that its index grows at one end."""
    return f"auto:{time.time_ns():016x}{secrets.token_hex(8)}"
