"""`Operation`: an act on many items, frozen when it was prepared; `Portion`: a hundred of them and how far it came.

prepared ──start──▶ running ──▶ finished        every item was touched or left alone
                       ├──abort──▶ aborted      staff stopped it
                       └──────────▶ halted      its canary died: the cause is still there
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

GOOD_FOR = timedelta(hours=1)
"""A prepared operation can be started that long; what it froze is too old then."""
PACE_MAX = 60_000
"""Items a minute."""
UNDO = "undo"
"""The act of an operation that takes back another one."""


class Operation(models.Model):
    """Who does what to which items, why, how fast, and how far it came."""

    class State(models.TextChoices):
        PREPARED = "prepared", "Prepared"
        RUNNING = "running", "Running"
        FINISHED = "finished", "Finished"
        HALTED = "halted", "Halted itself"
        ABORTED = "aborted", "Aborted"

    act = models.CharField(max_length=50)
    queue = models.CharField(max_length=50)
    words = models.TextField()
    """What was asked for: the filter or the selection, in words."""
    state = models.CharField(max_length=10, choices=State, default=State.PREPARED)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField("who", max_length=200)
    request_id = models.CharField(max_length=100, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    undoes = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="undone_by")

    planned = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    missed = models.PositiveIntegerField(default=0)
    """Items that had changed since they were frozen, and were left alone."""
    left = models.JSONField(default=dict)
    """Reason → how many items were not frozen because of it."""
    given = models.JSONField(default=dict)
    """The act's parameters, as `parameters.read` made them."""
    uncertain = models.PositiveIntegerField(default=0)
    """How many of them the other side may have taken already."""
    more = models.BooleanField(default=False)

    pace = models.PositiveIntegerField(default=60)
    """Items a minute."""
    canary = models.BooleanField(default=False)
    watched = models.JSONField(default=list)
    """Released by the canary and not heard of yet: [item id, cause]."""
    heard = models.CharField(max_length=200, blank=True, default="")
    """How the last of them came back, oldest first: `g`ood, `b`ad (the same cause), `o`ther."""
    why = models.TextField(blank=True, default="")
    """Why it ended as it did, or what it waits for."""

    prepared_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)
    """When the next items are due: kept here, so that two who carry it on keep one pace."""
    held_until = models.DateTimeField(null=True, blank=True)
    """Somebody carries it on; a killed one is missed from then on."""
    entry = models.ForeignKey(  # no constraint: the ledger itself refuses that an entry goes
        "queues.LedgerEntry",
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    """The ledger entry of its start, which mentions every item it touched."""

    class Meta:
        verbose_name = "operation"
        verbose_name_plural = "operations"
        ordering = ("-id",)
        indexes = [models.Index(fields=["next_at"], condition=Q(state="running"), name="operation_running")]

    def __str__(self) -> str:
        return f"{self.act} of {self.planned} in {self.queue}"

    @property
    def handled(self) -> int:
        """Items it has looked at."""
        return self.done + self.missed

    @property
    def percent(self) -> int:
        """How far it came; 100 only when all of it is done."""
        return 100 * self.handled // self.planned if self.planned else 100

    @property
    def remaining(self) -> timedelta:
        """How long the rest takes at its pace, when nothing makes it wait."""
        return timedelta(minutes=(self.planned - self.handled) / max(self.pace, 1))

    def is_stale(self, *, now: datetime) -> bool:
        """Whether it was prepared too long ago to be started."""
        return self.state == self.State.PREPARED and self.prepared_at <= now - GOOD_FOR


class Portion(models.Model):
    """Some items of an operation, with the versions that were frozen; `handled` of them are over."""

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="portions")
    number = models.PositiveIntegerField()
    items = models.JSONField(default=list)
    """[item id, version], in the order they are touched."""
    handled = models.PositiveSmallIntegerField(default=0)
    before = models.JSONField(default=dict)
    """Item id → the columns that the act changed, as they were: what an undo puts back. Exactly those touched."""
    given = models.JSONField(default=dict)
    """Of an undo: item id → the columns to put back."""
    open = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["operation", "number"], name="portion_one_a_number")]
        indexes = [models.Index(fields=["operation", "number"], condition=Q(open=True), name="portion_open")]

    def __str__(self) -> str:
        return f"portion {self.number} of operation {self.operation_id}"

    @property
    def touched(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """(item id, the version that the act left it with, its columns before) of every item touched."""
        for pk, version in self.items[: self.handled]:
            if (before := self.before.get(str(pk))) is not None:
                yield pk, version + 1, before
