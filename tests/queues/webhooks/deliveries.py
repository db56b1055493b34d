"""Events as Stripe makes them, and deliveries as Stripe signs them."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from django.test import Client

SECRET = "whsec_tests_of_the_webhook_queue"
ADDRESS = "/webhooks/stripe/"
_numbers = itertools.count(1)


def snapshot(
    kind: str = "customer.created", *, id: str = "", created: int | None = None, **about: Any
) -> dict[str, Any]:
    """A snapshot event about an object with these fields."""
    thing = {"id": "cus_1", "object": kind.rpartition(".")[0], **about}
    return {
        "id": id or f"evt_{next(_numbers):06}",
        "object": "event",
        "api_version": "2026-09-30.endive",
        "created": int(time.time()) if created is None else created,
        "type": kind,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": thing},
    }


def thin(kind: str, *, about: dict[str, Any] | None, id: str = "", snapshot_event: str = "") -> dict[str, Any]:
    """A thin event; `about` is its `related_object`."""
    told = {
        "id": id or f"evt_thin_{next(_numbers):06}",
        "object": "v2.core.event",
        "type": kind,
        "created": "2026-10-02T08:00:00.123Z",
        "livemode": False,
        "context": None,
        "related_object": about,
    }
    return told | ({"snapshot_event": snapshot_event} if snapshot_event else {})


def raw(event: Any) -> bytes:
    """The body."""
    return event if isinstance(event, bytes) else json.dumps(event).encode()


def sign(body: bytes, *, secret: str = SECRET, at: int | None = None) -> str:
    """One v1 signature."""
    return hmac.new(secret.encode(), f"{stamp(at)}.".encode() + body, hashlib.sha256).hexdigest()


def header(body: bytes, *, secret: str = SECRET, at: int | None = None) -> str:
    """The header `Stripe-Signature`."""
    return f"t={stamp(at)},v1={sign(body, secret=secret, at=at)}"


def stamp(at: int | None) -> int:
    """The time of a signature."""
    return int(time.time()) if at is None else at


def post(event: Any, *, signature: str | None = None, content_type: str = "application/json; charset=utf-8") -> Any:
    """Deliver, signed as given or rightly."""
    body = raw(event)
    given = header(body) if signature is None else signature
    return Client(raise_request_exception=True).post(
        ADDRESS, body, content_type=content_type, headers={"Stripe-Signature": given}
    )
