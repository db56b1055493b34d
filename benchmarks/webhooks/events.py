"""Signed deliveries, made before the clock starts: each an event of its own, 0.6 kB, about an object of its own."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import time

SECRET = "whsec_of_the_benchmark"
TYPE = "balance.available"
"""A type for which dj-stripe asks nothing of Stripe: its cheapest."""
_numbers = itertools.count(1)
_run = os.urandom(4).hex()


def body() -> bytes:
    """A new event."""
    number = next(_numbers)
    event = {
        "id": f"evt_{_run}{number:08}",
        "object": "event",
        "api_version": "2026-05-27.dahlia",
        "created": int(time.time()),
        "type": TYPE,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {
            "object": {
                "id": f"bal_{_run}{number:08}",
                "object": "balance",
                "available": [{"amount": 123_400 + number, "currency": "eur", "source_types": {"card": 123_400}}],
                "pending": [{"amount": 567, "currency": "eur", "source_types": {"card": 567}}],
                "livemode": False,
                "note": "x" * 120,
            }
        },
    }
    return json.dumps(event).encode()


def request(path: str, port: int) -> bytes:
    """The whole HTTP request that delivers a new event."""
    content, stamp = body(), int(time.time())
    signature = hmac.new(SECRET.encode(), f"{stamp}.".encode() + content, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Stripe-Signature: t={stamp},v1={signature}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
