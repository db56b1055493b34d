"""Addresses that look real, and registrations of them."""

from __future__ import annotations

import base64
import itertools
import secrets
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User

from notifications.devices import registration
from notifications.devices.formats import Given
from notifications.devices.registration import Registered, Wish
from notifications.models import PushDevice
from notifications.transports import keys

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
VAPID_PRIVATE_KEY = base64.urlsafe_b64encode(b"\x01" * 32).decode().rstrip("=")
_numbers = itertools.count(1)


def person(name: str = "") -> User:
    return User.objects.create_user(name or f"holder{next(_numbers)}")


def token() -> str:
    """An FCM registration token."""
    return f"c{secrets.token_urlsafe(16)[:21]}:APA91b{secrets.token_urlsafe(100)[:134]}"


def subscription(endpoint: str = "") -> dict[str, Any]:
    """What a browser gives: endpoint and keys."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {
        "address": endpoint or f"https://updates.push.services.mozilla.com/wpush/v2/{secrets.token_urlsafe(60)}",
        "p256dh": keys.b64(keys.raw_public(public)),
        "auth": keys.b64(secrets.token_bytes(16)),
    }


def wish(user: User, given: Given | None = None, *, installation: str = "phone", **about: str) -> Wish:
    return Wish(
        user=user,
        installation_id=installation,
        given=given or Given(transport="fcm", address=token()),
        about=about,
    )


def register(user: User, given: Given | None = None, *, installation: str = "phone", now: datetime = NOW) -> Registered:
    return registration.register(wish=wish(user, given, installation=installation), now=now)


def told(device: PushDevice) -> list[str]:
    """Its timeline, oldest first: `new→pending registered`."""
    rows = device.transitions.order_by("pk")
    return [f"{row.before or 'new'}→{row.after} {row.cause}" for row in rows]
