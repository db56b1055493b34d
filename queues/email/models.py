"""The e-mail queue's tables: the mail, its attachments, what the provider reported, and the suppressed addresses."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from queues.engine.item import QueueItem


class EmailMessage(QueueItem):
    """One mail as it is to be sent. `kind` is its e-mail type; addresses as in a header (`Anna <a@example.com>`)."""

    SETTLED_FIELDS: ClassVar[tuple[str, ...]] = ("provider", "provider_id", "refused")

    from_email = models.TextField("from")
    to = models.JSONField(default=list)
    cc = models.JSONField(default=list)
    bcc = models.JSONField(default=list)
    reply_to = models.JSONField(default=list)
    recipients = models.JSONField(default=list)
    """Every envelope recipient, normalized; what limits, suppression and delivery go by."""
    recipient = models.CharField(max_length=320)
    """The first of them, for the list and the search."""
    subject = models.TextField()
    text = models.TextField()
    html = models.TextField(default="", db_default="")
    headers = models.JSONField(default=list)
    """Further headers as [name, value] pairs."""
    attachment_count = models.PositiveSmallIntegerField(default=0, db_default=0)
    template = models.CharField(max_length=200, default="", db_default="")
    context = models.JSONField(null=True)
    metadata = models.JSONField(default=dict)
    tags = models.JSONField(default=list)
    message_id = models.CharField("Message-ID", max_length=255)
    """Fixed at enqueue, the same in every attempt."""
    bodies_removed_at = models.DateTimeField(null=True)
    repeated = False
    """On an instance given by `emails.enqueue`: whether its key had been used before."""

    provider = models.CharField(max_length=200, default="", db_default="")
    provider_id = models.CharField(max_length=255, default="", db_default="")
    refused = models.JSONField(null=True)
    """Recipients the server refused while it took the mail for the others: {address: reply}."""
    delivered_at = models.DateTimeField(null=True)
    bounced_at = models.DateTimeField(null=True)
    complained_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True)
    clicked_at = models.DateTimeField(null=True)

    class Meta(QueueItem.Meta):
        verbose_name = "e-mail"
        indexes = [
            *QueueItem.Meta.indexes,
            models.Index(fields=["recipient", "-id"], name="emailmessage_recipient"),
            models.Index(fields=["message_id"], name="emailmessage_message_id"),
            models.Index(fields=["provider_id"], condition=~Q(provider_id=""), name="emailmessage_provider_id"),
        ]

    @property
    def tracked(self) -> str:
        """The furthest the provider reported of it: complained, bounced, clicked, opened, delivered, or nothing."""
        for word in ("complained", "bounced", "clicked", "opened", "delivered"):
            if getattr(self, f"{word}_at"):
                return word
        return ""


class Attachment(models.Model):
    """A file's bytes, stored once however many mails carry it."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()
    size = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.sha256[:12]} ({self.size} bytes)"


class AttachmentUse(models.Model):
    """A file as one mail carries it. `content_id` is set for images shown inside the HTML (`cid:…`)."""

    message = models.ForeignKey(EmailMessage, on_delete=models.CASCADE, related_name="files")
    attachment = models.ForeignKey(Attachment, on_delete=models.PROTECT)
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100)
    content_id = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        ordering = ("position",)

    def __str__(self) -> str:
        return self.name


class TrackingEvent(models.Model):
    """What a provider reported of a mail; stored once however often and in whatever order it comes."""

    message = models.ForeignKey(EmailMessage, null=True, on_delete=models.CASCADE, related_name="tracking")
    """None when the mail is not (or no more) ours to find."""
    provider = models.CharField(max_length=50)
    event_key = models.CharField(max_length=255)
    kind = models.CharField(max_length=30)
    reference = models.CharField(max_length=255, blank=True, default="", db_default="")
    """The provider's id of the mail: by it an event that came before its mail's settlement finds it later."""
    recipient = models.CharField(max_length=320, blank=True, default="")
    at = models.DateTimeField()
    words = models.TextField(blank=True, default="")
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "event_key"], name="trackingevent_once")]
        indexes = [
            models.Index(fields=["message", "at"], name="trackingevent_message"),
            models.Index(fields=["received_at"], condition=Q(message__isnull=True), name="trackingevent_orphan"),
            models.Index(fields=["received_at"], name="trackingevent_received"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.provider}"


class Suppression(models.Model):
    """An address we must not send to, and for which mail: `scope` is `all`, `bulk`, or one e-mail type."""

    class Cause(models.TextChoices):
        HARD_BOUNCE = "hard_bounce", "Hard bounce"
        COMPLAINT = "complaint", "Complaint"
        UNSUBSCRIBE = "unsubscribe", "Unsubscribed"
        MANUAL = "manual", "Set by staff"

    address = models.CharField(max_length=320)
    scope = models.CharField(max_length=100, default="all")
    cause = models.CharField(max_length=12, choices=Cause)
    words = models.TextField(blank=True, default="")
    """What the other side said, or why staff did it."""
    message_id = models.BigIntegerField(null=True, blank=True)
    """The mail that caused it, if one did."""
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["address", "scope"], condition=Q(lifted_at__isnull=True), name="suppression_one_in_force"
            )
        ]

    def __str__(self) -> str:
        return f"{self.address} ({self.scope})"

    @property
    def in_force(self) -> bool:
        """Whether it still holds."""
        return self.lifted_at is None

    def lift(self, *, by: object, now: datetime) -> bool:
        """End it; False if it was lifted before."""
        held = Suppression.objects.filter(pk=self.pk, lifted_at__isnull=True)
        return bool(held.update(lifted_at=now, lifted_by=by))
