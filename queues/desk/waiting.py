"""Why an item is where it is: the one cause in one sentence, and the act that clears it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode

from queues.desk import faces, marks
from queues.email.models import Suppression
from queues.engine.breaker import Breaker
from queues.engine.claim import LEASE
from queues.engine.heartbeats import Heartbeat
from queues.engine.item import QueueItem
from queues.engine.limiter import RateCounter
from queues.engine.pauses import Pause
from queues.engine.registry import Queue
from queues.engine.states import WAITING, Status
from queues.monitor.health import CLUSTER, HEARTBEAT_MAX_AGE

SLACK = timedelta(seconds=5)
"""How long something due may lie before it is called late: a worker needs a moment to wake."""


@dataclass(frozen=True, slots=True)
class Why:
    """The sentence; and where it can be cleared or looked into, for who has the permission `needs` (act, model)."""

    words: str
    label: str = ""
    url: str = ""
    needs: tuple[str, type[models.Model]] | None = None

    def __str__(self) -> str:
        return self.words


def why(item: QueueItem, *, queue: Queue, now: datetime) -> Why:
    """The cause, for the item's page."""
    if item.hidden_at:
        return Why("It was purged. It can be restored for seven days after that, then only its key remains.")
    if item.status in WAITING:
        return _waiting(item, queue, now)
    if item.status == Status.PROCESSING:
        return _processing(item, now)
    if item.status == Status.DEAD_LETTER:
        return Why(_dead(item))
    if item.status == Status.CANCELLED:
        return Why(f"It was cancelled: {item.last_words or item.last_code or 'no reason was given'}")
    return Why("It is done.")


def _waiting(item: QueueItem, queue: Queue, now: datetime) -> Why:
    if pause := _pause(item, queue, now):
        return _paused(pause, queue, now)
    if stopped := faces.for_model(queue.model).stopped(item, now):
        return Why(
            f"{stopped} is suppressed: when its turn comes, it is cancelled instead of sent.",
            "See the suppression",
            f"{reverse('admin:queues_suppression_changelist')}?{urlencode({'q': stopped})}",
            ("view", Suppression),
        )
    return _overdue(item, queue, now) if item.due_at <= now else _not_yet(item, queue, now)


def _pause(item: QueueItem, queue: Queue, now: datetime) -> Pause | None:
    """The pause that holds the item, the whole queue's before its type's."""
    in_force = Pause.objects.filter(queue=queue.name, kind__in={"", item.kind})
    in_force = in_force.exclude(Q(resume_at__isnull=False) & Q(resume_at__lte=now))
    return in_force.select_related("paused_by").order_by("kind").first()


def _paused(pause: Pause, queue: Queue, now: datetime) -> Why:
    what = f"Items of type {pause.kind} were" if pause.kind else f"The queue {queue.name} was"
    who = f" by {pause.paused_by}" if pause.paused_by else ""
    until = f"for {marks.span(pause.resume_at - now)} more" if pause.resume_at else "until staff resume it"
    since = marks.span(now - pause.paused_at)
    return Why(
        f"{what} paused{who} {since} ago ({pause.reason}): nothing is handed out {until}.",
        "Resume",
        reverse("admin:queues_pause_resume", args=[queue.name])
        + (f"?{urlencode({'kind': pause.kind})}" if pause.kind else ""),
        ("pause", queue.model),
    )


def _overdue(item: QueueItem, queue: Queue, now: datetime) -> Why:
    closed = queue.gate(now)
    if closed is not None:
        return Why(
            f"Every transport failed and is left alone for {marks.span(closed - now)}; it is tried again then.",
            *_breakers(),
        )
    if busy := _before_it_in_its_lane(item, queue):
        words = f"Item {busy} of its lane is being worked on, and a lane runs one item at a time."
        if not admin.site.is_registered(queue.model):
            return Why(words)
        page = f"admin:{queue.model._meta.app_label}_{queue.model._meta.model_name}_change"
        return Why(words, f"See item {busy}", reverse(page, args=[busy]), ("view", queue.model))
    if now - item.due_at < SLACK:
        return Why("It is due now; a worker takes it in a moment.")
    since = f"It has been due for {marks.span(now - item.due_at)}"
    if not heard_of_workers(now=now):
        return Why(
            f"{since}, and no machine's workers are running: they are started by “manage.py work”.",
            "See the heartbeats",
            reverse("admin:queues_heartbeat_changelist"),
            ("view", Heartbeat),
        )
    return Why(f"{since}: other items are before it, or the queue's limit is used up.", *_limits())


def _not_yet(item: QueueItem, queue: Queue, now: datetime) -> Why:
    wait = marks.span(item.due_at - now)
    if item.waits_for.startswith("rate:"):
        return Why(
            f"It waits {wait} for the rate limit {_limit(item.waits_for.removeprefix('rate:'))}.",
            *_limits(),
        )
    if item.waits_for == "breaker":
        return Why(
            f"Every transport failed several times in a row and is left alone: the next try is in {wait}.",
            *_breakers(),
        )
    if item.waits_for == "uncertain":
        return Why(
            f"The other side may have taken it, only its answer was lost. For {wait} more it waits for word of it; "
            "it is not sent again before."
        )
    if item.waits_for:
        return Why(f"It waits {wait} for {item.waits_for}.")
    if item.status == Status.PENDING and not item.runs:
        return Why(f"It was asked to run no earlier than in {wait}.")
    if item.status == Status.PENDING:
        return Why(f"Its next try is in {wait}.")
    retries = queue.policy.max_retries if item.max_retries is None else item.max_retries
    return Why(f"Its last try failed. Retry {min(item.attempts, retries)} of {retries} comes in {wait}.")


def _before_it_in_its_lane(item: QueueItem, queue: Queue) -> int | None:
    if not (queue.model.LANES and item.lane):
        return None
    running = queue.model._default_manager.filter(lane=item.lane, status=Status.PROCESSING)
    found: int | None = running.values_list("pk", flat=True).first()
    return found


def heard_of_workers(*, now: datetime) -> bool:
    """Whether any machine's workers gave a sign lately."""
    return Heartbeat.objects.filter(name__startswith=CLUSTER, seen_at__gt=now - HEARTBEAT_MAX_AGE).exists()


def is_of_workers(beat: Heartbeat, *, now: datetime) -> bool:
    """Whether this sign of life is some machine's workers', and no older than it may be."""
    return beat.name.startswith(CLUSTER) and beat.seen_at > now - HEARTBEAT_MAX_AGE


def _processing(item: QueueItem, now: datetime) -> Why:
    if item.leased_until is not None and item.leased_until < now:
        return Why("The worker that held it is gone: its lease ran out, and it is taken back in a moment.")
    worker = f" ({item.leased_by})" if item.leased_by else ""
    sign = f"; its last sign came {marks.span(now - (item.leased_until - LEASE))} ago" if item.leased_until else ""
    return Why(f"A worker holds it{worker} and is working on it{sign}.")


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


def _limits() -> tuple[str, str, Any]:
    return "See the rate counters", reverse("admin:queues_ratecounter_changelist"), ("view", RateCounter)


def _breakers() -> tuple[str, str, Any]:
    return "See the breakers", reverse("admin:queues_breaker_changelist"), ("view", Breaker)
