"""Formats of addresses, checked before anything is stored: what no push service could ever accept is a clear refusal.

webpush   https endpoint of a public host, p256dh a point on P-256, auth of 16 bytes (RFC 8291)
fcm       a Firebase installation id (22 characters) or a registration token
apns      hexadecimal, 64 to 200 characters; production or sandbox
console   any word, where the console is allowed (DEBUG and the demo)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from notifications.states import AddressKind, Environment, Transport
from queues.engine import reach

ENDPOINT_MAX = 2048
FCM_FID = re.compile(r"[cdef][\w-]{21}", re.ASCII)
"""A Firebase installation id: 0111 and 124 random bits in base64url (firebase-js-sdk, packages/installations)."""
FCM_TOKEN = re.compile(r"[A-Za-z0-9_:-]{100,4096}")
"""Google promises no format; every token seen has these characters and at least 130 of them."""
APNS_TOKEN = re.compile(r"[0-9a-f]{64,200}")
"""32 bytes today, up to 100 by Apple's word."""
CONSOLE = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
AUTH_BYTES = 16
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{0,64}")
LOCAL = (".localhost", ".local", ".internal", ".intranet", ".home.arpa", ".lan", ".test", ".invalid")
"""Names that no public address has (RFC 6761, RFC 8375, and what networks use)."""


class Refused(ValueError):
    """The address cannot be one; `errors` says what is wrong with which field."""

    def __init__(self, **errors: str) -> None:
        self.errors = errors
        super().__init__(", ".join(f"{name}: {reason}" for name, reason in errors.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An address as its client sent it."""

    transport: str
    address: str
    environment: str = Environment.PRODUCTION
    p256dh: str = ""
    auth: str = ""
    vapid_key_thumbprint: str = ""
    expiration_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked(Given):
    """One that can be stored: in its normal form, with its kind."""

    kind: str

    @property
    def sha256(self) -> str:
        """What it is found by."""
        return hashlib.sha256(self.address.encode()).hexdigest()


def check(given: Given) -> Checked:
    """The address in its normal form. Raises Refused with every field that is wrong."""
    if given.transport not in Transport.values:
        raise Refused(transport=f"One of {', '.join(Transport.values)}.")
    errors: dict[str, str] = {}
    if given.transport != Transport.APNS and given.environment != Environment.PRODUCTION:
        errors["environment"] = "Only APNs has a sandbox."
    if given.transport != Transport.WEBPUSH:
        errors |= dict.fromkeys(
            (name for name in ("p256dh", "auth") if getattr(given, name)), "Only Web Push has keys."
        )
    reader = {
        Transport.WEBPUSH: _webpush,
        Transport.FCM: _fcm,
        Transport.APNS: _apns,
        Transport.CONSOLE: _console,
    }[Transport(given.transport)]
    kind, address, p256dh, auth = reader(given, errors)
    if errors:
        raise Refused(**errors)
    return Checked(
        transport=given.transport,
        kind=kind,
        address=address,
        environment=given.environment,
        p256dh=p256dh,
        auth=auth,
        vapid_key_thumbprint=given.vapid_key_thumbprint,
        expiration_time=given.expiration_time,
    )


def _webpush(given: Given, errors: dict[str, str]) -> tuple[str, str, str, str]:
    if reason := endpoint_fault(given.address):
        errors["address"] = reason
    point, secret = _bytes(given.p256dh), _bytes(given.auth)
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point if point and len(point) == 65 else b"")
    except ValueError:
        errors["p256dh"] = "Not an uncompressed point on P-256 in base64url: the subscription's key `p256dh`."
    if secret is None or len(secret) != AUTH_BYTES:
        errors["auth"] = f"Not {AUTH_BYTES} bytes in base64url: the subscription's key `auth`."
    return AddressKind.WEBPUSH_ENDPOINT, given.address, _text(point), _text(secret)


def _fcm(given: Given, errors: dict[str, str]) -> tuple[str, str, str, str]:
    if FCM_FID.fullmatch(given.address):
        return AddressKind.FCM_FID, given.address, "", ""
    if not FCM_TOKEN.fullmatch(given.address):
        errors["address"] = "Neither a Firebase installation id (22 characters) nor a registration token."
    return AddressKind.FCM_TOKEN, given.address, "", ""


def _apns(given: Given, errors: dict[str, str]) -> tuple[str, str, str, str]:
    token = given.address.lower()
    if not APNS_TOKEN.fullmatch(token) or len(token) % 2:
        errors["address"] = "Not a device token: 64 to 200 hexadecimal digits, an even number of them."
    return AddressKind.APNS_TOKEN, token, "", ""


def _console(given: Given, errors: dict[str, str]) -> tuple[str, str, str, str]:
    if not (settings.DEBUG or settings.DEMO):
        errors["transport"] = "The console is for development only."
    if not CONSOLE.fullmatch(given.address):
        errors["address"] = "1 to 100 letters, digits, and _ . : -"
    return AddressKind.CONSOLE, given.address, "", ""


def endpoint_fault(endpoint: str) -> str:
    """What is wrong with a Web Push endpoint, in words; "" if nothing is.

    No name is resolved here: a name can mean another address a moment later, so the transport judges what it connects
    to. What is plainly not public is refused at once.
    """
    if len(endpoint) > ENDPOINT_MAX:
        return f"Longer than {ENDPOINT_MAX:,} characters."
    if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint or "\\" in endpoint:
        return "Not a URL: a character that none has."
    try:
        parts = urlsplit(endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "Not a URL."
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in {"https", "http"} or not host:
        return "Not an https URL."
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "A push endpoint has neither user nor fragment."
    if reach.excepted(host, port):
        return ""
    if parts.scheme != "https":
        return "Not an https URL."
    return "" if _is_public(host) else "Not the address of a public host."


def _is_public(host: str) -> bool:
    try:
        return reach.is_public(ipaddress.ip_address(host))
    except ValueError:
        pass
    # 127.1, 0x7f.1 and 2130706433 are addresses to the resolver, if to nobody else: no top-level name is a number.
    last = host.rpartition(".")[2]
    return "." in host and not host.endswith(LOCAL) and not last.isdigit() and not last.startswith("0x")


def _bytes(text: str) -> bytes | None:
    """Of base64url, padded or not; None if it is neither."""
    bare = text.rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", bare):
        return None
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def _text(raw: bytes | None) -> str:
    """Base64url without padding: one form of one key."""
    return base64.urlsafe_b64encode(raw or b"").rstrip(b"=").decode()
