"""The fake Stripe sender: posts events to our own endpoint, signed with the demo's webhook secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import requests
from django.conf import settings

TIMEOUT_SECONDS = 10


def signature(body: bytes, *, secret: str, at: int) -> str:
    """The header `Stripe-Signature` (https://docs.stripe.com/webhooks#verify-manually)."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def send(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Post them one after the other; returns how each was answered."""
    return [_send(event) for event in events]


def _send(event: Mapping[str, Any]) -> dict[str, Any]:
    body = json.dumps(event).encode()
    secret = settings.STRIPE_WEBHOOK_SECRETS[0] if settings.STRIPE_WEBHOOK_SECRETS else ""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(body, secret=secret, at=int(time.time())),
        "User-Agent": "Fake Stripe sender of the Redrive demo",
    }
    address = f"http://127.0.0.1:{settings.PORT}/webhooks/stripe/"
    try:
        answer = requests.post(address, data=body, headers=headers, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        said = type(error).__name__
    else:
        said = str(answer.status_code)
    return {"event": event["id"], "type": event["type"], "answer": said, "at": time.time()}
