"""Our identity towards Web Push services (RFC 8292): one key, and one signed header an origin for hours."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from email.utils import parseaddr

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from notifications.transports import keys

VALID_FOR = timedelta(hours=12)
"""Half of what RFC 8292 section 2 permits, so that a clock may err."""
RENEW_BEFORE = timedelta(hours=6)
ORIGINS_MAX = 1000
"""Origins whose header is kept: there are a handful, but whoever registers can invent more."""

_headers: dict[tuple[str, str, str], tuple[str, datetime]] = {}


def ready() -> bool:
    """Whether a usable key is set."""
    try:
        _key(settings.VAPID_PRIVATE_KEY)
    except keys.BadKey:
        return False
    return True


def public_key() -> str:
    """What a page subscribes with, as `applicationServerKey`: base64url of 65 bytes. Raises keys.BadKey."""
    return keys.b64(_public(settings.VAPID_PRIVATE_KEY))


def thumbprint() -> str:
    """The short name of our key, kept with each subscription that was made with it; "" without a key."""
    try:
        return keys.thumbprint(_public(settings.VAPID_PRIVATE_KEY))
    except keys.BadKey:
        return ""


def contact() -> str:
    """Whom a push service may write to: the sender of our mail (RFC 8292 section 2.1)."""
    return f"mailto:{parseaddr(settings.DEFAULT_FROM_EMAIL)[1]}"


def header(*, origin: str, now: datetime) -> str:
    """The Authorization header for an origin (`https://fcm.googleapis.com`). Raises keys.BadKey."""
    text = settings.VAPID_PRIVATE_KEY
    place = (text, contact(), origin)
    kept = _headers.get(place)
    if kept is not None and now < kept[1] - RENEW_BEFORE and kept[1] - now <= VALID_FOR:
        return kept[0]
    until = now + VALID_FOR
    claims = {"aud": origin, "exp": int(until.timestamp()), "sub": place[1]}
    token = jwt.encode(claims, _key(text), algorithm="ES256")
    if len(_headers) >= ORIGINS_MAX:
        _headers.clear()
    _headers[place] = (f"vapid t={token}, k={keys.b64(_public(text))}", until)
    return _headers[place][0]


@functools.lru_cache(maxsize=4)
def _key(text: str) -> ec.EllipticCurvePrivateKey:
    return keys.private_key(text)


@functools.lru_cache(maxsize=4)
def _public(text: str) -> bytes:
    return keys.raw_public(_key(text).public_key())
