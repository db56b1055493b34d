"""The push queue as the engine knows it."""

from __future__ import annotations

from notifications import push
from notifications.models import PushDelivery
from notifications.sending import deliver, verdicts
from notifications.transports import carriers
from queues.engine.policy import RetryPolicy
from queues.engine.registry import Queue

POLICY = RetryPolicy(1, 5, 30)
"""One try at once, three retries, dead letter after about 36 seconds."""

PUSH = Queue(
    name=push.QUEUE,
    model=PushDelivery,
    policy=POLICY,
    handler=deliver.deliver,
    batch=100,
    hands=10,  # more connections do not make the HTTP client faster
    limits=deliver.limits,
    prepare=deliver.prepare,
    close=carriers.close,
    on_dead=verdicts.on_dead,
)
