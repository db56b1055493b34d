"""What a push says: checked before anything is stored, so that no transport has to refuse it later."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from notifications.sending import acks
from notifications.states import AddressKind
from notifications.transports import apns, ece, fcm, webpush
from notifications.transports.answers import Address, Message
from queues.engine.outcomes import clean

TITLE_MAX = 200
BODY_MAX = 4000
URL_MAX = 2000
DATA_MAX = 4096
LONGEST_ID = 2**63 - 1
"""Of a delivery: its acknowledgement link is as long as any will be."""
NOWHERE = Address(app="", kind=AddressKind.FCM_TOKEN, address="")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RESERVED = re.compile(
    r"aps|from|notification|message_type|collapse_key|url|ack_url|tag|nonce|(google|gcm).*", re.IGNORECASE
)
"""Names in `data` that FCM and APNs keep for themselves, or that ours means something by.
https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages"""

CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Invalid(ValueError):
    """The push cannot be sent as it is; `field` says what is wrong with which part. Nothing was stored."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


@dataclass(frozen=True, slots=True)
class Content:
    """The words of a push, and where a tap leads."""

    title: str
    body: str = ""
    url: str = ""
    data: Mapping[str, str] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """As it is stored. Raises Invalid."""
        for name, limit in (("title", TITLE_MAX), ("body", BODY_MAX), ("url", URL_MAX)):
            _text(name, getattr(self, name), limit)
        if not self.title.strip():
            raise Invalid("title", "a push without a title is not shown")
        if self.url and not _leads_somewhere(self.url):
            raise Invalid("url", "neither an http or https address nor a path beginning with /")
        for name, value in self.data.items():
            _text("data", name, 100)
            _text("data", value, DATA_MAX)
            if RESERVED.fullmatch(name):
                raise Invalid("data", f"the name {name!r} is reserved by a transport")
        stored = {"title": self.title, "body": self.body, "url": self.url, "data": dict(self.data)}
        _fits(stored)
        return stored


def _fits(stored: Mapping[str, Any]) -> None:
    """A user's devices are not known when a push is written, so it must be small enough for every transport."""
    ack_url = acks.url_for(LONGEST_ID)
    message = Message(**stored, ack_url=ack_url, collapse_id="0" * 32)
    sizes = {
        "Web Push": (len(webpush.encoded(message)), ece.PLAINTEXT_MAX),
        "APNs": (len(apns.encoded(message)), apns.PAYLOAD_MAX),
    }
    over = [f"{size:,} bytes for {name}, which takes {most:,}" for name, (size, most) in sizes.items() if size > most]
    if fcm.encoded(message, NOWHERE, now=EPOCH) is None:
        over.append(f"more than the {fcm.PAYLOAD_MAX:,} bytes that FCM takes")
    if over:
        longest = max(("body", "url", "data"), key=lambda part: len(CANONICAL.encode(stored[part])))
        raise Invalid(longest, f"too large: {'; '.join(over)}")


def digest(*parts: Any) -> str:
    """What "the same push" means for a repeated key."""
    return hashlib.blake2b(CANONICAL.encode(parts).encode(), digest_size=32).hexdigest()


def _text(name: str, value: Any, limit: int) -> None:
    if not isinstance(value, str):
        raise Invalid(name, "not a string")
    if len(value) > limit:
        raise Invalid(name, f"longer than {limit:,} characters")
    if clean(value) != value:
        raise Invalid(name, "a NUL or half a character in it")


def _leads_somewhere(url: str) -> bool:
    if not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return (parts.scheme in {"http", "https"} and bool(parts.hostname)) or (
            not parts.scheme and not parts.netloc and url.startswith("/")
        )
    except ValueError:
        return False
