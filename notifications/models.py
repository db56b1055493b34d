"""Tables of push: whose devices there are, what happened to them, what is sent to them, and by which lane."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from notifications.states import LIVE, AddressKind, DeviceStatus, Environment, Reason, Transport
from queues.engine.item import QueueItem


class Installation(models.Model):
    """One installed copy of an app (or one browser profile) of one user. It outlives its addresses."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="installations")
    app = models.CharField(max_length=100, default="default", db_default="default")
    installation_id = models.CharField(max_length=100)
    """Made by the client once, and kept by it."""
    platform = models.CharField(max_length=20, blank=True, default="", db_default="")
    name = models.CharField(max_length=100, blank=True, default="", db_default="")
    """What its user calls it, or what its client says it is: `Firefox on Linux`."""
    locale = models.CharField(max_length=35, blank=True, default="", db_default="")
    app_version = models.CharField(max_length=50, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        # Of each user: who merely knows the id of another's installation can do nothing with it.
        constraints = [
            models.UniqueConstraint(fields=["user", "app", "installation_id"], name="installation_one_of_a_user")
        ]
        permissions = [("register_device", "Can register devices of one's own")]

    def __str__(self) -> str:
        return self.name or self.platform or self.installation_id


class Lane(models.Model):
    """What stops together: one app, transport, environment and credential. No row means open."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        HALF_OPEN = "half_open", "Trying again"
        STOPPED = "stopped", "Stopped"

    app = models.CharField(max_length=100)
    transport = models.CharField(max_length=10, choices=Transport)
    environment = models.CharField(max_length=10, choices=Environment)
    credential = models.CharField(max_length=64)
    """The thumbprint of the key or account it sends with; never the key itself."""
    state = models.CharField(max_length=10, choices=State, default=State.OPEN, db_default=State.OPEN)
    reason = models.CharField(max_length=100, blank=True, default="", db_default="")
    words = models.TextField(blank=True, default="", db_default="")
    """What the push service said when it was stopped."""
    until = models.DateTimeField(null=True, blank=True)
    """When it opens by itself; null: when staff resume it."""
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "transport", "environment", "credential"], name="lane_one_each")
        ]
        permissions = [("resume_lane", "Can resume lanes and judge quarantines")]

    def __str__(self) -> str:
        return f"{self.app} {self.transport} {self.environment}"


class PushDevice(models.Model):
    """One address of an installation. Its state is written by `notifications.devices` alone, with a transition each."""

    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="devices")
    app = models.CharField(max_length=100)
    transport = models.CharField(max_length=10, choices=Transport)
    environment = models.CharField(
        max_length=10, choices=Environment, default=Environment.PRODUCTION, db_default=Environment.PRODUCTION
    )
    address_kind = models.CharField(max_length=20, choices=AddressKind)
    address = models.TextField()
    """The token or endpoint: personal data, masked in logs; "" after it was anonymised."""
    address_sha256 = models.CharField(max_length=64)
    p256dh = models.CharField(max_length=100, blank=True, default="", db_default="")
    auth = models.CharField(max_length=30, blank=True, default="", db_default="")
    vapid_key_thumbprint = models.CharField(max_length=64, blank=True, default="", db_default="")
    """Of the server key the subscription was made with."""
    expiration_time = models.DateTimeField(null=True, blank=True)

    status = models.CharField(
        max_length=12, choices=DeviceStatus, default=DeviceStatus.PENDING, db_default=DeviceStatus.PENDING
    )
    status_reason = models.CharField(max_length=20, choices=Reason, blank=True, default="", db_default="")
    status_changed_at = models.DateTimeField(db_default=Now())
    superseded_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    quarantined_at = models.DateTimeField(null=True, blank=True)
    """Held back by the mass-invalidation breaker: nothing is sent, and it is not invalid either."""
    failure_count = models.PositiveSmallIntegerField(default=0, db_default=0)
    registered_at = models.DateTimeField(db_default=Now())
    verified_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(db_default=Now())
    last_successful_send_at = models.DateTimeField(null=True, blank=True)
    last_confirmed_at = models.DateTimeField(null=True, blank=True)
    """When the device itself last acknowledged a push."""

    proof_seed = models.CharField(max_length=32, blank=True, default="", db_default="", editable=False)
    """Of the nonce the device has to echo (`devices.verification`); a new one for each verification."""
    proof_asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    claims = models.BooleanField(default=False, db_default=False, editable=False)
    """Asks for an address that another user's row holds: that one is `transferred` once this one echoed its nonce."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["app", "transport", "environment", "address_sha256"],
                condition=Q(claims=False),
                name="device_one_row",
            ),
            models.UniqueConstraint(
                fields=["installation", "transport"], condition=Q(status__in=LIVE), name="device_one_live"
            ),
            models.CheckConstraint(condition=Q(status__in=DeviceStatus.values), name="device_known_status"),
        ]
        indexes = [
            models.Index(fields=["address_sha256"], condition=Q(claims=True), name="device_claiming"),
            models.Index(fields=["last_seen_at"], condition=Q(status__in=LIVE), name="device_unseen"),
            models.Index(
                fields=["status_changed_at"], condition=Q(status=DeviceStatus.INVALID), name="device_invalidated"
            ),
            models.Index(
                fields=["status_changed_at"], condition=Q(status=DeviceStatus.UNREGISTERED), name="device_unregistered"
            ),
            models.Index(
                fields=["quarantined_at"], condition=Q(quarantined_at__isnull=False), name="device_quarantined"
            ),
        ]
        permissions = [
            ("test_device", "Can send a test push"),
            ("unregister_device", "Can unregister devices"),
            ("view_address", "Can see addresses in full"),
        ]

    def __str__(self) -> str:
        return f"{self.get_transport_display()} of {self.installation}"


class DeviceTransition(models.Model):
    """One change of a device's state, kept for ever beside it: append-only."""

    device = models.ForeignKey(PushDevice, on_delete=models.CASCADE, related_name="transitions")
    at = models.DateTimeField(db_default=Now())
    before = models.CharField(max_length=12, blank=True)
    after = models.CharField(max_length=12)
    cause = models.CharField(max_length=40)
    """`registered`, `verified`, `replaced`, `refused`, `seen`, `unseen`, `quarantined`, …"""
    transport_status = models.CharField(max_length=10, blank=True, default="", db_default="")
    """The push service's status: `410`."""
    transport_reason = models.CharField(max_length=100, blank=True, default="", db_default="")
    """Its own word: `Unregistered`."""
    words = models.TextField(blank=True, default="", db_default="")
    delivery_id = models.BigIntegerField(null=True, blank=True)
    """The delivery it came of."""

    class Meta:
        indexes = [models.Index(fields=["device", "-id"], name="transition_of_device")]

    def __str__(self) -> str:
        return f"{self.before or 'new'} to {self.after}: {self.cause}"


class PushDelivery(QueueItem):
    """One push to one device. `kind` is its category; the state tells the attempt, the times below the delivery."""

    SETTLED_FIELDS: ClassVar[tuple[str, ...]] = ("accepted_at", "provider_id", "failed_reason", "lane_key")
    FAILS_BY: ClassVar[tuple[str, ...]] = ("via",)

    class Purpose(models.TextChoices):
        NOTIFY = "notify", "Notification"
        VERIFY = "verify", "Verification"
        TEST = "test", "Test"

    device = models.ForeignKey(PushDevice, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.NOTIFY, db_default=Purpose.NOTIFY)
    push_id = models.UUIDField(default=uuid.uuid4)
    """One call of `notify`: all its deliveries bear it."""
    campaign = models.CharField(max_length=100, blank=True, default="", db_default="")
    payload = models.JSONField(default=dict)
    """Title, body, url, data; emptied after its time."""
    collapse_id = models.CharField(max_length=64)
    """Fixed at creation: a repetition replaces itself on the device."""
    urgent = models.BooleanField(default=False, db_default=False)
    lane_key = models.CharField(max_length=200, blank=True, default="", db_default="")
    """Which lane carried it: `app/transport/environment`."""
    provider_id = models.CharField(max_length=255, blank=True, default="", db_default="")
    failed_reason = models.CharField(max_length=100, blank=True, default="", db_default="")
    accepted_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)

    class Meta(QueueItem.Meta):
        verbose_name = "push"
        verbose_name_plural = "pushes"
        indexes = [
            *QueueItem.Meta.indexes,
            models.Index(fields=["device", "-id"], name="pushdelivery_device"),
            models.Index(fields=["push_id"], name="pushdelivery_push"),
        ]


class Preference(models.Model):
    """What one user wants of one category; no row means: all of it. The category "" is every one of them."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="push_preferences")
    category = models.CharField(max_length=100, blank=True, default="", db_default="")
    wanted = models.BooleanField(default=True, db_default=True)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=50, default="UTC", db_default="UTC")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "category"], name="preference_one_a_category")]

    def __str__(self) -> str:
        return f"{self.category or 'everything'}: {'yes' if self.wanted else 'no'}"


class Credential(models.Model):
    """A signed token all workers share, so that a provider sees one signature an hour and not one a send."""

    name = models.CharField(max_length=100, unique=True)
    """`apns:<key id>`, `fcm:<account>`."""
    token = models.TextField()
    signed_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
