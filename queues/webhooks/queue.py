"""The webhook queue as the engine knows it."""

from __future__ import annotations

from queues.engine.policy import RetryPolicy
from queues.engine.registry import Queue
from queues.webhooks import dispatch, inbox, regenerate, runs, stripe_api
from queues.webhooks.models import WebhookEvent

POLICY = RetryPolicy(60, 5 * 60, 30 * 60, 2 * 3600, 24 * 3600)
"""One try at once, five retries, dead letter after about 26 h 36 min."""

OURS = (regenerate.regenerate,)
"""Handlers of our own room; importing them registered them."""

WEBHOOK = Queue(
    name=inbox.QUEUE,
    model=WebhookEvent,
    policy=POLICY,
    handler=dispatch.dispatch,
    batch=10,
    hands=4,
    prepare=runs.load,
    close=stripe_api.close,
)
