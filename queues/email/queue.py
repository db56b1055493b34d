"""The e-mail queue as the engine knows it."""

from __future__ import annotations

from queues.email import deliver, emails
from queues.email.models import EmailMessage
from queues.engine.policy import RetryPolicy
from queues.engine.registry import Queue

POLICY = RetryPolicy(1, 5, 30, 5 * 60, 30 * 60)
"""One try at once, five retries, dead letter after about 36 minutes."""

EMAIL = Queue(
    name=emails.QUEUE,
    model=EmailMessage,
    policy=POLICY,
    handler=deliver.deliver,
    batch=50,
    hands=16,  # a server that needs 20 ms a mail then takes 480 a second from one worker
    limits=deliver.limits,
    prepare=deliver.prepare,
    gate=deliver.gate,
    close=deliver.close,
    on_dead=deliver.on_dead,
)
