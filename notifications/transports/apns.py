"""APNs: HTTP/2 with a signed provider token
(https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns).

The app gets `aps`, and beside it `url`, `ack_url` and `data`.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.utils import timezone

from notifications.states import Environment
from notifications.transports import errors, keys, tokens, wire
from notifications.transports.answers import Address, Answer, Message
from notifications.transports.errors import APNS, Fact

PAYLOAD_MAX = 4096
COLLAPSE_ID_MAX = 64
KIND = tokens.Kind(renew_before=timedelta(minutes=15), at_least=timedelta(minutes=20))
"""Apple takes a token for an hour, and wants no more than one in 20 minutes: signed anew after 45."""
LIVES = timedelta(hours=1)
TOKEN = re.compile(r"[0-9a-fA-F]+")
OTHER = {Environment.PRODUCTION: Environment.SANDBOX, Environment.SANDBOX: Environment.PRODUCTION}


class Apns:
    """Sends for one app (APNS_TOPIC) to both of Apple's environments."""

    def __init__(self) -> None:
        self._wire = wire.Wire(http2=True)

    def credential(self, address: Address) -> str:
        """The thumbprint of team, key and topic."""
        return keys.thumbprint(_who().encode()) if ready() else ""

    def send(self, message: Message, address: Address) -> Answer:
        """Push; once more to the other environment if this one does not know the token."""
        until, now = time.monotonic() + wire.SEND_SECONDS, timezone.now()
        if not ready():
            return errors.answer(APNS, "unset")
        if not TOKEN.fullmatch(address.address):
            return errors.answer(APNS, "400", "BadDeviceToken")
        body = encoded(message)
        if len(body) > PAYLOAD_MAX:
            return errors.answer(APNS, "size", "PayloadTooLarge")
        environment = Environment(address.environment)
        try:
            reply = self._push(environment, address.address, message, body, until, now)
            if reply.status == 400 and _reason(reply) == "BadDeviceToken":
                other = OTHER[environment]
                second = self._push(other, address.address, message, body, until, now)
                if second.status == 200:
                    return _answer(second, address, environment=other)
                reply = second if _reason(second) != "BadDeviceToken" else reply
        except tokens.TooSoon as error:
            return errors.answer(APNS, "403", "ExpiredProviderToken", said=str(error))
        except wire.NotProcessed as error:
            return errors.answer(APNS, error.status, error.reason, said=error.words, address=address.address)
        return _answer(reply, address)

    def close(self) -> None:
        """Close this thread's connections."""
        self._wire.close()

    def _push(
        self, environment: Environment, token: str, message: Message, body: bytes, until: float, now: datetime
    ) -> wire.Reply:
        """One push to one environment, signed anew once if Apple calls our token expired."""
        url = f"{base(environment)}/3/device/{token}"
        signed = provider_token(now=now)
        reply = self._wire.post(url, headers=_headers(message, signed, now=now), body=body, until=until)
        if reply.status == 403 and _reason(reply) == "ExpiredProviderToken":
            signed = provider_token(now=now, refused=signed)
            reply = self._wire.post(url, headers=_headers(message, signed, now=now), body=body, until=until)
        return reply


def ready() -> bool:
    """Whether all four settings are there and the key can be read."""
    if not (settings.APNS_KEY_ID and settings.APNS_TEAM_ID and settings.APNS_TOPIC):
        return False
    try:
        _key(settings.APNS_KEY)
    except keys.BadKey:
        return False
    return True


def base(environment: str) -> str:
    """The server of an environment."""
    sandbox = environment == Environment.SANDBOX
    return str(settings.APNS_SANDBOX_API_BASE if sandbox else settings.APNS_API_BASE)


def provider_token(*, now: datetime, refused: str = "") -> str:
    """The JWT that all workers share. Raises tokens.TooSoon if the refused one is too young to be replaced."""
    name = f"apns:{settings.APNS_TEAM_ID}:{settings.APNS_KEY_ID}"
    return tokens.get(name, KIND, _sign, now=now, refused=refused).text


def encoded(message: Message) -> bytes:
    """The payload."""
    if message.silent:
        aps: dict[str, Any] = {"content-available": 1}
    else:
        # mutable-content lets the app's extension acknowledge before the push is shown
        aps = {"alert": {"title": message.title, "body": message.body}, "sound": "default", "mutable-content": 1}
    rest = {"url": message.url, "ack_url": message.ack_url, "data": message.data}
    said = {"aps": aps, **{name: value for name, value in rest.items() if value}}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _sign(now: datetime) -> tokens.Token:
    claims = {"iss": settings.APNS_TEAM_ID, "iat": int(now.timestamp())}
    text = jwt.encode(claims, _key(settings.APNS_KEY), algorithm="ES256", headers={"kid": settings.APNS_KEY_ID})
    return tokens.Token(text, now, now + LIVES)


@functools.lru_cache(maxsize=4)
def _key(text: str) -> ec.EllipticCurvePrivateKey:
    return keys.private_key(text)


def _who() -> str:
    return f"{settings.APNS_TEAM_ID} {settings.APNS_KEY_ID} {settings.APNS_TOPIC}"


def _headers(message: Message, signed: str, *, now: datetime) -> Mapping[str, str]:
    seconds = max(0, int(message.ttl.total_seconds()))
    headers = {
        "authorization": f"bearer {signed}",
        "apns-topic": settings.APNS_TOPIC,
        "apns-push-type": "background" if message.silent else "alert",
        "apns-priority": "10" if message.urgent and not message.silent else "5",
        "apns-expiration": str(int(now.timestamp()) + seconds if seconds else 0),
    }
    if message.collapse_id:
        headers["apns-collapse-id"] = collapse_id(message.collapse_id)
    return headers


def collapse_id(given: str) -> str:
    """As given if Apple takes it (printable ASCII, up to 64 bytes), else its thumbprint."""
    fits = given.isascii() and given.isprintable() and len(given) <= COLLAPSE_ID_MAX
    return given if fits else keys.thumbprint(given.encode(errors="replace"))


def _answer(reply: wire.Reply, address: Address, *, environment: str = "") -> Answer:
    told = errors.answer(
        APNS,
        str(reply.status),
        _reason(reply),
        facts={Fact.REGISTERED_LATER} if _registered_later(reply, address) else (),
        said=_reason(reply),
        address=address.address,
        retry_after=reply.retry_after(now=timezone.now()),
        provider_id=reply.headers.get("apns-id", ""),
    )
    if environment:
        told.extra["environment"] = environment
    return told


def _said(reply: wire.Reply) -> dict[str, Any]:
    said = reply.json
    return said if isinstance(said, dict) else {}


def _reason(reply: wire.Reply) -> str:
    return str(_said(reply).get("reason", ""))


def _registered_later(reply: wire.Reply, address: Address) -> bool:
    """Whether the device has registered since Apple found the token dead (`timestamp`, milliseconds)."""
    stamp = _said(reply).get("timestamp")
    if address.registered_at is None or not isinstance(stamp, int | float) or isinstance(stamp, bool):
        return False
    try:
        return address.registered_at > datetime.fromtimestamp(stamp / 1000, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return False
