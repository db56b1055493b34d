"""Web Push: an encrypted POST to the endpoint the browser gave (RFC 8030, RFC 8291, RFC 8292).

The service worker gets JSON: `title`, `body`, `url`, `data`, `ack_url`, `tag` (the collapse id).
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone

from notifications.transports import ece, errors, keys, vapid, wire
from notifications.transports.answers import Address, Answer, Message
from notifications.transports.errors import WEBPUSH, Fact

TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
MISMATCH = re.compile(r"do(es)? not correspond to the (credentials|sender ID) used to", re.IGNORECASE)
"""Google: "the VAPID credentials in the authorization header do not correspond to the credentials used to create the
subscriptions" (https://github.com/web-push-libs/web-push/issues/558)."""
TTL_MAX = 2_419_200
"""28 days: what Google's service takes at most."""


class WebPush:
    """Sends to any push service of any browser."""

    def __init__(self) -> None:
        self._wire = wire.Wire()

    def credential(self, address: Address) -> str:
        """Our key's thumbprint and the endpoint's host: one push service's trouble does not stop another's lane."""
        ours = vapid.thumbprint()
        if not ours:
            return ""
        host = urlsplit(address.address).hostname or ""
        return f"{ours}@{host if len(host) <= 40 else keys.thumbprint(host.encode())}"

    def send(self, message: Message, address: Address) -> Answer:
        """Encrypt and push."""
        until = time.monotonic() + wire.SEND_SECONDS
        try:
            body = ece.encrypt(encoded(message), p256dh=address.p256dh, auth=address.auth)
            sign = vapid.header(origin=wire.origin(address.address), now=timezone.now())
        except keys.BadKey as error:
            return errors.answer(WEBPUSH, "unset", said=str(error))
        except ece.BadSubscription as error:
            return errors.answer(WEBPUSH, "keys", said=str(error))
        except ece.TooLarge as error:
            return errors.answer(WEBPUSH, "size", "PayloadTooLarge", said=str(error))
        except ValueError:
            return errors.answer(WEBPUSH, "malformed")
        headers = {"Authorization": sign, **_headers(message)}
        try:
            reply = self._wire.post(address.address, headers=headers, body=body, until=until)
        except wire.NotProcessed as error:
            return errors.answer(WEBPUSH, error.status, error.reason, said=error.words, address=address.address)
        return _answer(reply, address)

    def close(self) -> None:
        """Close this thread's connections."""
        self._wire.close()


def encoded(message: Message) -> bytes:
    """What the service worker gets, before encryption."""
    said: dict[str, Any] = {
        "title": message.title,
        "body": message.body,
        "url": message.url,
        "data": message.data,
        "ack_url": message.ack_url,
        "tag": message.collapse_id,
    }
    return json.dumps({name: value for name, value in said.items() if value}, ensure_ascii=False).encode(
        errors="replace"
    )


def _headers(message: Message) -> dict[str, str]:
    headers = {
        "TTL": str(min(max(0, int(message.ttl.total_seconds())), TTL_MAX)),
        "Urgency": "high" if message.urgent else "normal",
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
    }
    if message.collapse_id:
        headers["Topic"] = _topic(message.collapse_id)
    return headers


def _topic(collapse_id: str) -> str:
    """At most 32 characters of base64url (RFC 8030 section 5.4); the same for the same collapse id."""
    return collapse_id if TOPIC.fullmatch(collapse_id) else keys.thumbprint(collapse_id.encode(errors="replace"))


def _answer(reply: wire.Reply, address: Address) -> Answer:
    differs = bool(address.vapid_key_thumbprint) and address.vapid_key_thumbprint != vapid.thumbprint()
    return errors.answer(
        WEBPUSH,
        str(reply.status),
        _reason(reply),
        facts={Fact.KEY_DIFFERS} if differs else (),
        said=reply.body.decode("utf-8", errors="replace"),
        address=address.address,
        retry_after=reply.retry_after(now=timezone.now()),
        provider_id=reply.headers.get("location", ""),
    )


def _reason(reply: wire.Reply) -> str:
    """Mozilla's `errno`, Apple's `reason`, or the phrase of Google's that matters."""
    said = reply.json
    if isinstance(said, dict):
        for name in ("errno", "reason"):
            if isinstance(said.get(name), int | str):
                return str(said[name])
    text = reply.body.decode("utf-8", errors="replace")
    if "UnauthorizedRegistration" in text:
        return "UnauthorizedRegistration"
    return "CredentialsMismatch" if MISMATCH.search(text) else ""
