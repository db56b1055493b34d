"""Why an item is where it is: one sentence, and the act that changes it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from queues.desk import marks
from queues.engine import pauses
from queues.engine.heartbeats import Heartbeat
from queues.engine.item import QueueItem
from queues.engine.registry import Queue
from queues.engine.states import WAITING, Status
from queues.monitor.health import CLUSTER, HEARTBEAT_MAX_AGE

SLACK = timedelta(seconds=5)
"""How long something due may lie before it is called late: a worker needs a moment to wake."""


def why(item: QueueItem, *, queue: Queue, now: datetime) -> str:
    """The sentence for the item's page."""
    if item.hidden_at:
        return "It was purged. It can be restored for seven days after that, then only its key remains."
    if item.status in WAITING:
        return _waiting(item, queue, now)
    if item.status == Status.PROCESSING:
        return _processing(item, now)
    if item.status == Status.DEAD_LETTER:
        return _dead(item)
    if item.status == Status.CANCELLED:
        return f"It was cancelled: {item.last_words or item.last_code or 'no reason was given'}"
    return "It is done."


def _waiting(item: QueueItem, queue: Queue, now: datetime) -> str:
    paused = pauses.paused_kinds(queue=queue.name, now=now)
    if "" in paused:
        return f"The queue {queue.name} is paused: it hands out nothing until staff resume it."
    if item.kind and item.kind in paused:
        return f"Items of type {item.kind} are paused until staff resume them."
    if item.due_at <= now:
        closed = queue.gate(now)
        if closed is not None:
            return f"Every transport failed and is left alone for {marks.span(closed - now)}; it is tried again then."
        if now - item.due_at < SLACK:
            return "It is due now; a worker takes it in a moment."
        since = f"It has been due for {marks.span(now - item.due_at)}"
        if not heard_of_workers(now=now):
            return f"{since}, and no machine's workers are running: they are started by “manage.py work”."
        return f"{since}: other items are before it, or the queue's limit is used up."
    wait = marks.span(item.due_at - now)
    if item.waits_for.startswith("rate:"):
        return f"It waits {wait} for the rate limit {_limit(item.waits_for.removeprefix('rate:'))}."
    if item.waits_for == "breaker":
        return f"Every transport failed several times in a row and is left alone: the next try is in {wait}."
    if item.waits_for == "uncertain":
        return (
            f"The other side may have taken it, only its answer was lost. For {wait} more it waits for word of it; "
            "it is not sent again before."
        )
    if item.waits_for:
        return f"It waits {wait} for {item.waits_for}."
    if item.status == Status.PENDING and not item.runs:
        return f"It was asked to run no earlier than in {wait}."
    if item.status == Status.PENDING:
        return f"Its next try is in {wait}."
    retries = queue.policy.max_retries if item.max_retries is None else item.max_retries
    return f"Its last try failed. Retry {min(item.attempts, retries)} of {retries} comes in {wait}."


def heard_of_workers(*, now: datetime) -> bool:
    """Whether any machine's workers gave a sign lately."""
    return Heartbeat.objects.filter(name__startswith=CLUSTER, seen_at__gt=now - HEARTBEAT_MAX_AGE).exists()


def _processing(item: QueueItem, now: datetime) -> str:
    if item.leased_until is not None and item.leased_until < now:
        return "The worker that held it is gone: its lease ran out, and it is taken back in a moment."
    return f"A worker holds it{f' ({item.leased_by})' if item.leased_by else ''} and is working on it."


def _dead(item: QueueItem) -> str:
    if item.uncertain_at:
        return (
            "The other side may have taken it, and no word of it came. Sending it again may make a second copy: "
            "look there first."
        )
    runs = f"after {item.attempts} {'try' if item.attempts == 1 else 'tries'}"
    return f"It was given up {runs}. The cause was: {item.last_words or item.last_code or 'unknown'}"


def _limit(name: str) -> str:
    limit, seconds = settings.RATE_LIMITS.get(name, (0, 0))
    return f"{name} ({limit} in {marks.span(timedelta(seconds=seconds))})" if limit else name
