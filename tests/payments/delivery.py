"""How the tests post events to our endpoint, as Stripe does, and let the webhook queue handle them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.test import Client
from django.utils import timezone

from queues.engine import registry
from queues.engine.drain import Drain

PATH = "/webhooks/stripe/"


def signature(body: bytes, *, secret: str = "", at: float | None = None) -> str:
    """The header that proves the body to be Stripe's."""
    moment = int(time.time() if at is None else at)
    key = (secret or settings.STRIPE_WEBHOOK_SECRETS[0]).encode()
    return f"t={moment},v1={hmac.new(key, f'{moment}.'.encode() + body, hashlib.sha256).hexdigest()}"


def post(event: dict[str, Any], *, client: Client | None = None) -> Any:
    """Deliver one event; returns the answer."""
    body = json.dumps(event).encode()
    headers = {"Stripe-Signature": signature(body)}
    return (client or Client()).post(PATH, body, content_type="application/json", headers=headers)


def deliver(events: Iterable[dict[str, Any]]) -> None:
    """Deliver events; each must be taken."""
    for event in events:
        response = post(event)
        assert response.status_code == 200, response.content


def drain(*, after: timedelta = timedelta(), clock: Callable[[], Any] = timezone.now) -> Counter[str]:
    """Run the webhook queue as if it were so much later."""
    return Drain(registry.get("webhook"), clock=lambda: clock() + after).run()
