"""The states of a device's address, and why it is in one.

    register ──▶ pending ──verified──▶ active ◀──success── suspect
                   │                   │  ▲ └─3 failures──▶  │
      1, 5, 30 s   │        30 days    ▼  │ seen             │
      used up      ▼        unseen   stale                   ▼
                 invalid ◀── refused, replaced, transferred, 270 days ──
any live ── log-out, opt-out ──▶ unregistered ── registered again ──▶ pending
"""

from __future__ import annotations

from django.db import models


class Transport(models.TextChoices):
    """Who carries the push. `console` prints it: for development."""

    WEBPUSH = "webpush", "Web Push"
    FCM = "fcm", "FCM"
    APNS = "apns", "APNs"
    CONSOLE = "console", "Console"


class AddressKind(models.TextChoices):
    """What an address is; a transport may have more than one kind."""

    WEBPUSH_ENDPOINT = "webpush_endpoint", "Web Push endpoint"
    FCM_FID = "fcm_fid", "Firebase installation id"
    FCM_TOKEN = "fcm_token", "FCM registration token"
    APNS_TOKEN = "apns_token", "APNs device token"
    CONSOLE = "console", "Console"


class Environment(models.TextChoices):
    """Apple keeps two worlds; everyone else has one."""

    PRODUCTION = "production", "Production"
    SANDBOX = "sandbox", "Sandbox"


class DeviceStatus(models.TextChoices):
    """See the drawing above."""

    PENDING = "pending", "Pending"
    ACTIVE = "active", "Active"
    SUSPECT = "suspect", "Suspect"
    STALE = "stale", "Stale"
    INVALID = "invalid", "Invalid"
    UNREGISTERED = "unregistered", "Unregistered"


LIVE = (DeviceStatus.PENDING, DeviceStatus.ACTIVE, DeviceStatus.SUSPECT, DeviceStatus.STALE)
"""At most one address of an installation and transport is in one of these."""
ENDED = (DeviceStatus.INVALID, DeviceStatus.UNREGISTERED)


class Reason(models.TextChoices):
    """Why an address is in its state; "" where the state says it all."""

    REPLACED = "replaced", "Replaced by a newer address"
    TRANSFERRED = "transferred", "Another user proved to hold it"
    VERIFICATION_FAILED = "verification_failed", "Could not be verified"
    REFUSED = "refused", "The push service does not know it any more"
    MALFORMED = "malformed", "The push service calls it malformed"
    KEY_ROTATED = "key_rotated", "Belongs to an earlier server key"
    WRONG_SENDER = "wrong_sender", "Belongs to another sender or app"
    UNSEEN = "unseen", "Not seen for too long"
    FAILING = "failing", "Failed three times in a row"
    LOGGED_OUT = "logged_out", "Logged out"
    OPTED_OUT = "opted_out", "Switched off by its user"
    STAFF = "staff", "Unregistered by staff"
    RESTORED = "restored", "Restored from quarantine"
