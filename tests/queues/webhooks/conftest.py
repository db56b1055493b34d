"""What the webhook tests share: signed deliveries, handlers of a test's own, a drain at a set time, Stripe's stub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from queues.engine import claim, registry, settle
from queues.engine.drain import Drain
from queues.webhooks import counting, handlers, inbox, stripe_api
from queues.webhooks.models import WebhookEvent
from tests.queues.webhooks import deliveries
from tests.queues.webhooks.stripe_stub import Stub

type DrainAt = Callable[..., Counter[str]]
type On = Callable[..., Callable[[handlers.Apply], handlers.Apply]]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """No test sees what another one counted, or the trouble it had."""
    counting._counts.kept.clear()
    counting._counts.written = 0.0
    inbox._trouble.failing = False
    yield
    inbox._trouble.failing = False


@pytest.fixture
def secret(settings: Settings) -> str:
    """The only signing secret."""
    settings.STRIPE_WEBHOOK_SECRETS = [deliveries.SECRET]
    return deliveries.SECRET


@pytest.fixture
def on() -> Iterator[On]:
    """`@on("thing.made", name="a")`: a handler for the time of the test."""
    names: list[str] = []

    def register(*types: str, name: str, **options: Any) -> Callable[[handlers.Apply], handlers.Apply]:
        names.append(name)
        return handlers.on(*types, name=name, **options)

    yield register
    for name in names:
        handlers.forget(name)


@pytest.fixture
def drain() -> DrainAt:
    """`drain()` or `drain(after=timedelta)`: run the webhook queue as if it were so much later."""

    def run(*, after: timedelta = timedelta(), at: datetime | None = None) -> Counter[str]:
        shift = (at - timezone.now()) if at else after
        return Drain(registry.get("webhook"), clock=lambda: timezone.now() + shift).run()

    return run


@pytest.fixture
def handle(db: None) -> DrainAt:
    """Like `drain`, but in this thread and the test's own transaction: claim after claim until nothing is due."""

    def run(*, after: timedelta = timedelta()) -> Counter[str]:
        queue, counts = registry.get("webhook"), Counter[str]()
        while items := claim.claim(WebhookEvent, limit=10, worker="test", now=timezone.now() + after):
            context = queue.prepare(items, timezone.now())
            for item in items:
                counts[_attempt(queue, item, context, after)] += 1
        return counts

    return run


def _attempt(queue: registry.Queue, item: WebhookEvent, context: Any, after: timedelta) -> str:
    started_at = timezone.now() + after
    result: Any
    try:
        result = queue.handler(item, context)
    except Exception as error:
        result = error
    if isinstance(result, registry.Settled):
        return result.verdict
    settlement = settle.decide(queue, item, result, started_at=started_at, now=timezone.now() + after)
    return settlement.verdict if settle.settle(queue, [settlement]) else "lost"


@pytest.fixture
def stub(settings: Settings) -> Iterator[Stub]:
    """A Stripe on loopback that knows what the test tells it, and our settings pointing at it."""
    with Stub() as stripe:
        settings.STRIPE_API_KEY = "sk_test_stub"
        settings.STRIPE_API_BASE = stripe.url
        settings.RATE_LIMITS = {**settings.RATE_LIMITS, "stripe.read": (1000, 1)}
        yield stripe
    stripe_api.close()
