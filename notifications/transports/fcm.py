"""FCM HTTP v1: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages

One message serves Android, iOS and browsers behind Firebase. The app gets `data` (strings): what the caller gave, and
`url`, `ack_url`, `tag` (the collapse id).
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from notifications.states import AddressKind
from notifications.transports import apns, errors, google, wire
from notifications.transports.answers import Address, Answer, Message
from notifications.transports.errors import FCM, Fact

PAYLOAD_MAX = 4096
"""Bytes of notification and data together."""
PLATFORMS = frozenset({"android", "ios", "web"})
ADDRESS_FIELDS = frozenset({"message.token", "message.fid"})
BAD_TOKEN = re.compile(r"not a valid FCM registration token|invalid registration token", re.IGNORECASE)
TTL_MAX = 2_419_200
"""28 days."""


class Fcm:
    """Sends for one Firebase project."""

    def __init__(self) -> None:
        self._wire = wire.Wire()

    def credential(self, address: Address) -> str:
        """The account's thumbprint and the platform: Firebase reaches each with a key of its own."""
        try:
            account = google.account(settings.FCM_CREDENTIALS)
        except google.BadCredentials:
            return ""
        return f"{account.thumbprint}@{address.platform if address.platform in PLATFORMS else 'any'}"

    def send(self, message: Message, address: Address) -> Answer:
        """Push, with a fresh access token if the shared one is refused."""
        until, now = time.monotonic() + wire.SEND_SECONDS, timezone.now()
        body = encoded(message, address, now=now)
        if body is None:
            return errors.answer(FCM, "size", "PayloadTooLarge")
        try:
            account = google.account(settings.FCM_CREDENTIALS)
            token = account.access_token(now=now)
            reply = self._post(account, token, body, until)
            if reply.status == 401 and _reason(reply) != "THIRD_PARTY_AUTH_ERROR":
                reply = self._post(account, account.access_token(now=now, refused=token), body, until)
        except google.BadCredentials as error:
            return errors.answer(FCM, "unset", said=str(error))
        except google.Refused as error:
            return errors.answer(FCM, "oauth", said=str(error))
        except google.Down as error:
            return errors.answer(FCM, "oauth", "down", said=str(error))
        except wire.NotProcessed as error:
            return errors.answer(FCM, error.status, error.reason, said=error.words)
        return _answer(reply, address, now)

    def close(self) -> None:
        """Close this thread's connections."""
        self._wire.close()

    def _post(self, account: google.Account, token: str, body: bytes, until: float) -> wire.Reply:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"{settings.FCM_API_BASE}/v1/projects/{account.project}/messages:send"
        return self._wire.post(url, headers=headers, body=body, until=until)


def encoded(message: Message, address: Address, *, now: datetime) -> bytes | None:
    """The request's body; None if the payload is larger than FCM takes."""
    said = request(message, address, now=now)
    payload = {name: said["message"].get(name) for name in ("notification", "data")}
    if len(_json(payload)) > PAYLOAD_MAX:
        return None
    return _json(said)


def request(message: Message, address: Address, *, now: datetime) -> dict[str, Any]:
    """`SendMessageRequest` of Google's schema `fcm.v1`."""
    ours = {"url": message.url, "ack_url": message.ack_url, "tag": message.collapse_id}
    where = "fid" if address.kind == AddressKind.FCM_FID else "token"
    said: dict[str, Any] = {
        where: address.address,
        "data": {**message.data, **{name: value for name, value in ours.items() if value}},
        "android": _android(message),
        "apns": _apple(message, now=now),
        "webpush": {"headers": {"TTL": _seconds(message), "Urgency": "high" if message.urgent else "normal"}},
    }
    if not message.silent:
        said["notification"] = {"title": message.title, "body": message.body}
    return {"message": said, **({"validateOnly": True} if message.dry_run else {})}


def _android(message: Message) -> dict[str, Any]:
    """The tag replaces a shown repetition. Not the collapse key: FCM keeps four of them for a device that is off, and
    a fifth push would push out one that nobody has seen.
    """
    said: dict[str, Any] = {"priority": "HIGH" if message.urgent else "NORMAL", "ttl": f"{_seconds(message)}s"}
    if message.collapse_id and not message.silent:
        said["notification"] = {"tag": message.collapse_id}
    return said


def _apple(message: Message, *, now: datetime) -> dict[str, Any]:
    headers = {
        "apns-push-type": "background" if message.silent else "alert",
        "apns-priority": "10" if message.urgent and not message.silent else "5",
        "apns-expiration": str(int(now.timestamp()) + int(_seconds(message))),
    }
    if message.collapse_id:
        headers["apns-collapse-id"] = apns.collapse_id(message.collapse_id)
    # mutable-content lets the app's extension acknowledge before the push is shown
    return {"headers": headers, "payload": {"aps": {"content-available" if message.silent else "mutable-content": 1}}}


def _seconds(message: Message) -> str:
    return str(min(max(0, int(message.ttl.total_seconds())), TTL_MAX))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _answer(reply: wire.Reply, address: Address, now: datetime) -> Answer:
    said = reply.json
    return errors.answer(
        FCM,
        str(reply.status),
        _reason(reply),
        facts={Fact.ADDRESS_FIELD} if _address_is_bad(reply) else (),
        said=str(_error(reply).get("message", "")),
        address=address.address,
        retry_after=reply.retry_after(now=now),
        provider_id=str(said.get("name", "")) if isinstance(said, dict) else "",
    )


def _error(reply: wire.Reply) -> dict[str, Any]:
    """`error` of the body; empty if there is none: a 502 comes as HTML."""
    said = reply.json
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) else {}


def _details(reply: wire.Reply) -> list[dict[str, Any]]:
    found = _error(reply).get("details")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _reason(reply: wire.Reply) -> str:
    """FCM's own code, if it gave one, else Google's general one."""
    if reply.status == 200:
        return ""
    for detail in _details(reply):
        if str(detail.get("@type", "")).endswith("google.firebase.fcm.v1.FcmError") and "errorCode" in detail:
            return str(detail["errorCode"])
    return str(_error(reply).get("status", ""))


def _address_is_bad(reply: wire.Reply) -> bool:
    """Whether the address is what is wrong: the fields named are only it, or the sentence says so."""
    fields: set[str] = set()
    for detail in _details(reply):
        violations = detail.get("fieldViolations")
        if isinstance(violations, list):
            fields |= {str(each.get("field", "")) for each in violations if isinstance(each, dict)}
    if fields:
        return fields <= ADDRESS_FIELDS
    return bool(BAD_TOKEN.search(str(_error(reply).get("message", ""))))
