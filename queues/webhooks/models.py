"""The webhook queue's tables: the event as it came, which handlers ran for it, and how far the sweep has read."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from queues.engine.item import QueueItem
from queues.engine.outcomes import clean


class WebhookEvent(QueueItem):
    """One event. `kind` is its type, `lane` its object's, `idempotency_key` its provider and id (`stripe:evt_…`).

    That key is what is unique: an index on the two columns themselves would say the same again on every receipt.
    """

    LANES: ClassVar[bool] = True
    FAILS_BY: ClassVar[tuple[str, ...]] = ("kind", "via")

    class Source(models.TextChoices):
        RECEIVED = "received", "Received"
        SWEPT = "swept", "Found by the sweep"
        """In the provider's list, and never delivered to us."""
        MADE = "made", "Made for an event that was never generated"

    provider = models.CharField(max_length=20, default="stripe", db_default="stripe")
    event_id = models.CharField("event id", max_length=200)
    source = models.CharField(max_length=10, choices=Source, default=Source.RECEIVED, db_default=Source.RECEIVED)
    payload = models.BinaryField(default=b"", db_default=b"")
    """The bytes as they were received; empty once they were removed after their time."""
    payload_removed_at = models.DateTimeField(null=True, blank=True)
    occurred_at = models.DateTimeField()
    """The event's own `created`: exact to the second."""
    api_version = models.CharField(max_length=50, default="", db_default="")
    livemode = models.BooleanField(default=False, db_default=False)
    account = models.CharField(max_length=200, default="", db_default="")
    """The connected account (or, of a thin event, the context) it happened in; "" is our own."""
    object_id = models.CharField("object id", max_length=200, default="", db_default="")
    thin = models.BooleanField(default=False, db_default=False)
    snapshot_event = models.CharField(max_length=200, default="", db_default="")
    """Of a thin event: the snapshot that says the same. The two have one effect."""
    signed_at = models.DateTimeField(null=True)
    """The signature's `t`: with `created_at`, how long it travelled."""
    signed_with = models.CharField(max_length=8, default="", db_default="")
    """Which secret it was signed with (`verification.label`): when the old one is not seen any more, it can go."""

    class Meta(QueueItem.Meta):
        verbose_name = "webhook"
        indexes = [
            *QueueItem.Meta.indexes,
            models.Index(fields=["object_id", "-id"], condition=~Q(object_id=""), name="webhookevent_object"),
            models.Index(fields=["snapshot_event"], condition=~Q(snapshot_event=""), name="webhookevent_snapshot"),
        ]

    @property
    def effect_id(self) -> str:
        """The id under which its effects are noted: a thin event shares its snapshot's."""
        return self.snapshot_event or self.event_id

    @property
    def body(self) -> str:
        """The payload as text that can be shown."""
        return clean(bytes(self.payload).decode("utf-8", "replace"))


class HandlerRun(models.Model):
    """A handler's effect is in the database: written in the same transaction, so it is there once or not at all.

    It bears Stripe's id of the event, not our row's: it outlives the row, and holds for a thin event and its snapshot.
    """

    provider = models.CharField(max_length=20)
    event_id = models.CharField(max_length=200)
    handler = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    item_id = models.BigIntegerField()
    """The row it ran for."""
    lane = models.CharField(max_length=255, default="", db_default="")
    state_at = models.DateTimeField()
    """As of when the object was that the handler saw: the event's `created`, or when it was fetched."""
    ran_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "event_id", "handler"], name="handlerrun_one_an_event")
        ]
        indexes = [
            models.Index(fields=["lane", "-state_at"], name="handlerrun_lane"),
            models.Index(fields=["item_id"], name="handlerrun_item"),
        ]

    def __str__(self) -> str:
        return f"{self.handler} v{self.version} for {self.event_id}"


class SweepCursor(models.Model):
    """How far the sweep has read one of a provider's lists of events."""

    provider = models.CharField(max_length=20)
    listing = models.CharField(max_length=210, default="v1", db_default="v1")
    """`v1`, `v2`, or `v1 acct_1` of a connected account."""
    event_id = models.CharField(max_length=200)
    """The newest event listed so far."""
    occurred_at = models.DateTimeField()
    swept_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "listing"], name="sweepcursor_one_a_list")]

    def __str__(self) -> str:
        return f"{self.provider} {self.listing} up to {self.event_id}"


class SweepDay(models.Model):
    """What the sweep found of one day's events in one list; the coverage is made of these."""

    provider = models.CharField(max_length=20)
    listing = models.CharField(max_length=210, default="v1", db_default="v1")
    day = models.DateField()
    listed = models.PositiveIntegerField(default=0)
    missing = models.PositiveIntegerField(default=0)
    """Of those, how many had not been delivered to us and were stored by the sweep."""
    unreadable = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "listing", "day"], name="sweepday_one_a_list_and_day")
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.listing} {self.day}: {self.listed} listed, {self.missing} missing"


class ReceiptCount(models.Model):
    """How many deliveries of an hour ended in a way that leaves no row: refused, or seen before."""

    provider = models.CharField(max_length=20)
    hour = models.DateTimeField()
    outcome = models.CharField(max_length=30)
    """`repeated`, or why it was refused: `no signature`, `bad signature`, `old`, `future`, `not an event`, …"""
    count = models.PositiveIntegerField(default=0)
    worst_skew_seconds = models.IntegerField(default=0)
    """The largest distance of an authentic signature's time from ours, where that was the reason; negative: behind."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "hour", "outcome"], name="receiptcount_one_an_hour")]

    def __str__(self) -> str:
        return f"{self.provider} {self.hour:%Y-%m-%d %H}: {self.count} {self.outcome}"
