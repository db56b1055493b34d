"""Runs a schedule now, besides its own times: asked for with a reason, recorded, done by the workers."""

from __future__ import annotations

import ast
from datetime import datetime
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from queues.desk import ledger, reasoned, refusals
from queues.desk.forms import ReasonForm
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor, needed
from queues.desk.requests import actor_of
from queues.desk.selection import ID_MAX
from queues.engine import registry
from queues.engine.recurring import PREFIX


def run_now(*, schedule_id: int, actor: Actor, reason: str, now: datetime) -> str:
    """Send its task to the workers; when it runs next by itself stays as it was. Returns its name.

    Raises PermissionDenied, ReasonMissing, LookupError if it is not there.
    """
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(LedgerEntry)):
        schedule = Schedule.objects.filter(pk=schedule_id).first()
        if schedule is None:
            raise LookupError("it is not there any more")
        if not may_run(actor, schedule.name):
            raise PermissionDenied(f"{actor.name} may not run {schedule.name}")
        said = {"act": "run schedule", "plan": schedule.name, "reason": reason, "request_id": actor.request_id}
        ledger.record(actor=actor.user, actor_name=actor.name, now=now, **said)
        arguments = ast.literal_eval(schedule.args) if schedule.args else ()
        options: dict[str, Any] = ast.literal_eval(schedule.kwargs) if schedule.kwargs else {}
        transaction.on_commit(
            lambda: async_task(schedule.func, *arguments, task_name=f"now: {schedule.name}"[:100], **options),
            using=router.db_for_write(OrmQ),
        )
    return str(schedule.name)


def may_run(actor: Actor, name: str) -> bool:
    """Whether the actor may run the schedule of that name: who may change schedules, or configure its queue."""
    queue = name.removeprefix(f"{PREFIX}drain ")
    of_queue = next((each for each in registry.all_queues() if each.name == queue and name != queue), None)
    return actor.may("change", Schedule) or (of_queue is not None and actor.may("configure", of_queue.model))


def of_queue(queue: str) -> int:
    """The id of the schedule that drains a queue. Raises LookupError."""
    found: int | None = Schedule.objects.filter(name=f"{PREFIX}drain {queue}").values_list("pk", flat=True).first()
    if found is None:
        raise LookupError(f"no schedule drains {queue!r}")
    return found


def view(request: HttpRequest, schedule_id: int, *, site: AdminSite) -> HttpResponse:
    """Ask, or run it. Raises Http404, PermissionDenied."""
    actor, now, form = actor_of(request), timezone.now(), ReasonForm(request.POST or None)
    schedule = Schedule.objects.filter(pk=schedule_id).first() if schedule_id <= ID_MAX else None
    if not may_run(actor, schedule.name if schedule is not None else ""):
        if request.method == "GET":
            raise PermissionDenied
        with refusals.noted(actor=actor, act="run schedule", queue="", now=now, reason=request.POST.get("reason", "")):
            raise PermissionDenied
    if schedule is None:
        raise Http404

    def act() -> str:
        name = run_now(schedule_id=schedule_id, actor=actor, reason=form.cleaned_data["reason"], now=now)
        return f"{name} was handed to the workers."

    return reasoned.page(
        request,
        site=site,
        title=f"Run now: {schedule.name}",
        effect="The workers do it once besides its own times, as soon as one is free. Nothing is done twice by it: "
        "what recurs only finds what is due.",
        button="Run it now",
        back=reverse("admin:django_q_schedule_changelist"),
        form=form,
        act=act,
        refusal="Nothing was done: it is not there any more.",
    )
