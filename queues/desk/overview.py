"""The start page of the desk: how each queue stands, the parts that were heard of, the last acts of staff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.core.cache import cache
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from queues.desk import bounded, concerns, faces, flow, groups, permissions, records_admin, standings, waiting
from queues.desk.flow import Flow, Processor
from queues.desk.ledger import LedgerEntry
from queues.engine import registry
from queues.engine.failure_groups import FailureGroup
from queues.engine.heartbeats import Heartbeat
from queues.engine.pauses import Pause
from queues.engine.registry import Queue

LATE_AFTER = timedelta(minutes=2)
"""Something due for longer means that work does not flow: the clock comes every minute."""
ACTS_SHOWN = 8
GROUPS_SHOWN = 5
GROUPS_LOOKED_AT = 25
GROWN_WITHIN = timedelta(hours=2)
BEATS_READ, BEATS_SHOWN = 50, 12
PAUSES_READ = 200
KEPT, KEPT_SECONDS = "desk.standings", 2
"""How long the numbers of open start pages are kept: hundreds of them then cost what one does."""


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
    queues = _seen(request)
    flows, processors = flow.flows(queues, now=now), flow.processors(queue.name for queue in queues)
    found = [
        replace(card, flow=flows.get(card.queue), processor=processors.get(card.queue))
        for card in cards(request, now=now)
    ]
    beats = list(Heartbeat.objects.order_by("-seen_at")[:BEATS_READ])
    may_see_beats = permissions.may(request.user, "view", Heartbeat)
    entries: QuerySet[LedgerEntry] | list[LedgerEntry] = []
    if permissions.may(request.user, "view", LedgerEntry):
        entries = LedgerEntry.objects.defer("items", "result")[:ACTS_SHOWN]
    return base | {
        "title": "Overview",
        "now": now,
        "queues": found,
        "groups": _grown([queue.name for queue in queues], now=now)
        if permissions.may(request.user, "view", FailureGroup)
        else None,
        "may_see_clock": request.user.has_perm("django_q.view_schedule"),
        "beats": [
            (records_admin.spoken(beat.name), beat.seen_at, records_admin.is_silent(beat))
            for beat in beats[:BEATS_SHOWN]
            if may_see_beats
        ],
        "workless": not any(waiting.is_of_workers(beat, now=now) for beat in beats),
        "entries": list(entries),
        "concerns": concerns.of(request),
    }


def cards(request: HttpRequest, *, now: datetime, fresh: bool = True) -> list[Figures]:
    """How the queues stand that this account may see; not `fresh`: as of two seconds ago at most."""
    queues = _seen(request)
    everything = registry.all_queues()
    if fresh:
        found, pauses = standings.of(queues, now=now), _pauses(now)
    else:
        # For all accounts alike; who may see which is asked below.
        known = cache.get(KEPT)
        found, pauses = known or (standings.of(everything, now=now), _pauses(now))
        if known is None:
            cache.set(KEPT, (found, pauses), KEPT_SECONDS)
    return [
        _figures(queue, found.get(queue.name, standings.UNKNOWN), pauses.get(queue.name, ()), user=request.user)
        for queue in queues
    ]


def _seen(request: HttpRequest) -> list[Queue]:
    shown = [face for face in faces.all_faces() if permissions.may(request.user, "view", face.model)]
    return [registry.get(face.queue) for face in shown]


def _pauses(now: datetime) -> dict[str, tuple[Pause, ...]]:
    """Queue name → the pauses in force there."""
    found: dict[str, tuple[Pause, ...]] = {}
    for pause in Pause.objects.order_by("queue", "kind")[:PAUSES_READ]:
        if pause.resume_at is None or pause.resume_at > now:
            found[pause.queue] = (*found.get(pause.queue, ()), pause)
    return found


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


def figures(queues: Sequence[Queue], *, now: datetime) -> list[Figures]:
    """How queues stand, for who may see them all (the command, the API)."""
    found, pauses = standings.of(queues, now=now), _pauses(now)
    return [_figures(queue, found[queue.name], pauses.get(queue.name, ())) for queue in queues]


def _figures(queue: Queue, standing: standings.Standing, pauses: tuple[Pause, ...], *, user: Any = None) -> Figures:
    opts = queue.model._meta
    return Figures(
        queue=queue.name,
        noun=str(opts.verbose_name_plural),
        waiting=standing.waiting,
        retrying=standing.retrying,
        running=standing.running,
        dead=standing.dead,
        oldest_due_at=standing.oldest_due_at,
        pauses=pauses,
        # A queue may do its work before it has pages at the desk.
        list_url=reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        if admin.site.is_registered(queue.model)
        else "",
        may_pause=permissions.may(user, "pause", queue.model),
    )
