"""Is it from Stripe? HMAC-SHA256 over the raw bytes, by hand (DESIGN 8): any of several secrets, 300 s either way.

Scheme: https://docs.stripe.com/webhooks#verify-manually. stripe-python looks at old timestamps only, and raises
TypeError for a signature that is not ASCII.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

TOLERANCE_SECONDS = 300
HEADER_MAX = 4096
"""Characters of the header; Stripe's has two signatures at most, while a secret is rolled."""


class NotAuthentic(Exception):
    """`reason` is short and stable, to count by; `skew_seconds`: how far an authentic signature's time is from ours."""

    def __init__(self, reason: str, *, skew_seconds: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.skew_seconds = skew_seconds


@dataclass(frozen=True, slots=True)
class Signed:
    """When it was signed, and with which of our secrets."""

    at: datetime
    label: str


def verify(*, body: bytes, header: str, secrets: Sequence[str], now: datetime) -> Signed:
    """Check the header `Stripe-Signature` of `body`. Raises NotAuthentic. `secrets` must not be empty or blank."""
    if not header:
        raise NotAuthentic("no signature")
    stamp, signatures = _parts(header)
    matching = [secret for secret in secrets if _signs(secret, stamp, body, signatures)]
    if not matching:
        raise NotAuthentic("bad signature")
    skew = int(stamp) - int(now.timestamp())
    if abs(skew) > TOLERANCE_SECONDS:
        raise NotAuthentic("old" if skew < 0 else "future", skew_seconds=skew)
    return Signed(datetime.fromtimestamp(int(stamp), UTC), label(matching[0]))


def label(secret: str) -> str:
    """Names a secret without telling it: what `WebhookEvent.signed_with` holds."""
    return hashlib.sha256(b"redrive webhook secret " + secret.encode()).hexdigest()[:8]


def _parts(header: str) -> tuple[str, list[bytes]]:
    """The time and the v1 signatures. A server hands headers over as Latin-1, whatever bytes came."""
    pairs = [part.strip().partition("=") for part in header.split(",")] if len(header) <= HEADER_MAX else []
    stamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value.encode("utf-8", "surrogatepass") for name, _, value in pairs if name == "v1" and value]
    if not stamps or not signatures or not stamps[0].isascii() or not stamps[0].isdigit() or len(stamps[0]) > 12:
        raise NotAuthentic("malformed signature")
    return stamps[0], signatures


def _signs(secret: str, stamp: str, body: bytes, signatures: Sequence[bytes]) -> bool:
    mac = hmac.new(secret.encode(), f"{stamp}.".encode(), hashlib.sha256)
    mac.update(body)
    expected = mac.hexdigest().encode()
    # Every one is compared: which of them matched must not show in the time it takes.
    return sum(hmac.compare_digest(expected, each) for each in signatures) > 0
