"""The page of workers and schedules: who was heard of, what they do and hold; what runs when; how large tables are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule

from queues.desk import faces, levels, measured, permissions, records_admin
from queues.engine.heartbeats import Heartbeat
from queues.engine.states import Status
from queues.monitor import schedules, sizes

BEATS = 50
HANDS = 50
TABLES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the system that beats."""

    name: str
    seen_at: datetime
    silent: bool
    memory: str
    said: str
    processes: tuple[Mapping[str, Any], ...]


def view(request: HttpRequest) -> HttpResponse:
    """Everything that works, as of now."""
    now = timezone.now()
    table = sizes.tables()
    whole = sizes.whole()
    context = {
        "title": "Workers and schedules",
        "parts": [_part(beat) for beat in Heartbeat.objects.order_by("-seen_at")[:BEATS]],
        "hands": _hands(request),
        "schedules": [(line, _took(line)) for line in schedules.lines(now=now)],
        "may_run": permissions.may(request.user, "change", Schedule),
        "tables": [(each, filesizeformat(each.size) if each.size is not None else "") for each in table[:TABLES]],
        "whole": filesizeformat(whole) if whole is not None else "",
        "sized": any(each.size is not None for each in table),
    }
    return measured.page(request, "desk/monitor/workers.html", context, now=now)


def _part(beat: Heartbeat) -> Part:
    detail = dict(beat.detail)
    processes = tuple(each for each in detail.pop("processes", []) if isinstance(each, dict))
    memory = detail.pop("memory_mb", None)
    plain = {key.replace("_", " "): value for key, value in detail.items() if not isinstance(value, list | dict)}
    return Part(
        name=records_admin.spoken(beat.name),
        seen_at=beat.seen_at,
        silent=records_admin.is_silent(beat),
        memory=f"{memory:,.0f} MB" if isinstance(memory, int | float) else "",
        said=", ".join(f"{key} {value}" for key, value in plain.items()),
        processes=processes,
    )


def _hands(request: HttpRequest) -> list[tuple[str, str, int, datetime | None, str]]:
    """Items that workers hold now: (worker, queue, how many, lease of the oldest, address of the list)."""
    found = []
    for face in faces.all_faces():
        if not permissions.may(request.user, "view", face.model):
            continue
        held = face.model._default_manager.filter(status=Status.PROCESSING).order_by()
        rows = held.values_list("leased_by").annotate(number=Count("pk"), until=Min("leased_until"))[:HANDS]
        opts = face.model._meta
        url = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist") + "?status=processing"
        found += [(worker or "unnamed", face.queue, number, until, url) for worker, number, until in rows]
    return found


def _took(line: schedules.Line) -> str:
    return "" if line.took is None else levels.lasting(max(line.took.total_seconds(), 0))
