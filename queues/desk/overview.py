"""The start page of the desk: how each queue stands, the parts that were heard of, the last acts of staff."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from queues.desk import bounded, faces, flow, groups, permissions, records_admin, waiting
from queues.desk.flow import Flow, Processor
from queues.desk.ledger import LedgerEntry
from queues.engine import registry
from queues.engine.failure_groups import FailureGroup
from queues.engine.heartbeats import Heartbeat
from queues.engine.item import QueueItem
from queues.engine.pauses import Pause
from queues.engine.registry import Queue
from queues.engine.states import WAITING, Priority, Status

LATE_AFTER = timedelta(minutes=2)
"""Something due for longer means that work does not flow: the clock comes every minute."""
ACTS_SHOWN = 8
GROUPS_SHOWN = 5
GROUPS_LOOKED_AT = 25
GROWN_WITHIN = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How one queue stands."""

    queue: str
    noun: str
    waiting: bounded.Count
    retrying: bounded.Count
    running: bounded.Count
    dead: bounded.Count
    oldest_due_at: datetime | None
    pauses: tuple[Pause, ...]
    list_url: str
    may_pause: bool = False
    flow: Flow | None = None
    processor: Processor | None = None

    @property
    def paused(self) -> bool:
        """Whether the whole queue is."""
        return any(not pause.kind for pause in self.pauses)

    @property
    def late(self) -> bool:
        """Whether something has been due for too long."""
        return self.oldest_due_at is not None and timezone.now() - self.oldest_due_at > LATE_AFTER

    @property
    def state(self) -> tuple[str, str]:
        """Shape and word for the whole of it."""
        if self.paused:
            return "paused", "Paused"
        if self.late:
            return "bad", "Behind"
        if self.dead:
            return "warning", "Dead letters"
        return "good", "Flowing"


def context(request: HttpRequest, base: dict[str, Any]) -> dict[str, Any]:
    """The start page's template context (Unfold calls it)."""
    now = timezone.now()
    shown = [face for face in faces.all_faces() if permissions.may(request.user, "view", face.model)]
    queues = [registry.get(face.queue) for face in shown]
    flows, processors = flow.flows(queues, now=now), flow.processors(face.queue for face in shown)
    cards = [
        replace(
            figures(queue, now=now, user=request.user),
            flow=flows.get(queue.name),
            processor=processors.get(queue.name),
        )
        for queue in queues
    ]
    beats = Heartbeat.objects.order_by("-seen_at")[:12] if permissions.may(request.user, "view", Heartbeat) else []
    entries: QuerySet[LedgerEntry] | list[LedgerEntry] = []
    if permissions.may(request.user, "view", LedgerEntry):
        entries = LedgerEntry.objects.defer("items", "result")[:ACTS_SHOWN]
    return base | {
        "title": "Overview",
        "now": now,
        "queues": cards,
        "groups": _grown([queue.name for queue in queues], now=now)
        if permissions.may(request.user, "view", FailureGroup)
        else None,
        "may_see_clock": request.user.has_perm("django_q.view_schedule"),
        "beats": [
            (records_admin.spoken(beat.name), beat.seen_at, records_admin.is_silent(beat.seen_at)) for beat in beats
        ],
        "workless": not waiting.heard_of_workers(now=now),
        "entries": list(entries),
    }


def _grown(queues: list[str], *, now: datetime) -> list[tuple[Any, bounded.Count, int, SafeString]]:
    """Groups to look after that have new dead letters: (group, dead letters, new ones, chart), most new ones first."""
    recent = FailureGroup.objects.filter(state__in=groups.LIVE, queue__in=queues, last_seen_at__gt=now - GROWN_WITHIN)
    rows: list[Any] = list(groups.counted(recent.order_by("-last_seen_at", "-pk"))[:GROUPS_LOOKED_AT])
    trends = groups.trends(rows, now=now)
    found = [
        (row, groups.capped(row.dead), sum(trends[row.pk][-2:]), groups.chart(trends[row.pk]))
        for row in rows
        if row.pk in trends
    ]
    grown = [each for each in found if each[2]]
    return sorted(grown, key=lambda each: -each[2])[:GROUPS_SHOWN]


def figures(queue: Queue, *, now: datetime, user: Any = None) -> Figures:
    """Counts from the partial indexes of what waits and what is dead, all capped."""
    rows = queue.model._default_manager.filter(hidden_at__isnull=True)
    opts = queue.model._meta
    pauses = Pause.objects.filter(queue=queue.name).order_by("kind")
    waiting, retrying, running, dead = bounded.counts(
        rows.filter(status__in=WAITING),
        rows.filter(status=Status.RETRYING, due_at__isnull=False),
        rows.filter(status=Status.PROCESSING),
        rows.filter(status=Status.DEAD_LETTER),
    )
    return Figures(
        queue=queue.name,
        noun=str(opts.verbose_name_plural),
        waiting=waiting,
        retrying=retrying,
        running=running,
        dead=dead,
        oldest_due_at=oldest_due(queue.model, now=now),
        pauses=tuple(pause for pause in pauses if pause.resume_at is None or pause.resume_at > now),
        # A queue may do its work before it has pages at the desk.
        list_url=reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        if admin.site.is_registered(queue.model)
        else "",
        may_pause=permissions.may(user, "pause", queue.model),
    )


def oldest_due(model: type[QueueItem], *, now: datetime) -> datetime | None:
    """Since when the oldest due item has been waiting: one probe of the claim's own index for each priority."""
    rows = model._default_manager.filter(status__in=WAITING, due_at__lte=now)
    probes = {
        f"level_{priority}": Subquery(rows.filter(priority=priority).order_by("due_at", "id").values("due_at")[:1])
        for priority in Priority.values
    }
    # All in one statement, hung on whichever row is there; without any there is nothing due.
    first = model._default_manager.order_by().annotate(**probes).values_list(*probes)[:1]
    return min((due_at for row in first for due_at in row if due_at is not None), default=None)


def dead_badge(request: HttpRequest) -> str:
    """How many dead letters there are, for the navigation; "" for none."""
    found = 0
    for face in faces.all_faces():
        rows = face.model._default_manager.filter(status=Status.DEAD_LETTER, hidden_at__isnull=True)
        found += bounded.count(rows, cap=100, milliseconds=300).number or 0
    return "99+" if found > 99 else str(found or "")
