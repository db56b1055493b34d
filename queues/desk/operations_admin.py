"""Operations at the desk: the list of them, and the page of one: its preview, its progress, its result.

/<id>/change/    the page        /<id>/start/  /<id>/abort/  /<id>/undo/    POST does it, GET is the page
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from queues.desk import acts, faces, marks, permissions, refusals
from queues.desk.bulk import freeze, run
from queues.desk.bulk.operation import UNDO, Operation
from queues.desk.forms import ReasonForm, StartForm, for_act
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.desk.selection import ID_MAX
from queues.engine import registry

SHOWN = 8
PACES = (60, 600, 6000)
SHAPES = {
    "prepared": "pending",
    "running": "processing",
    "finished": "succeeded",
    "halted": "warning",
    "aborted": "cancelled",
}
BADGES = {"prepared": "Prepared, not started", "halted": "Halted itself"}
State = Operation.State


@admin.register(Operation)
class OperationAdmin(RecordAdmin):
    """Every act on many items, newest first."""

    list_display = ("number", "badge", "act", "queue", "progress", "actor_name", "prepared", "reason_short")
    list_display_links = ("number",)
    ordering = ("-id",)

    def get_urls(self) -> list[URLPattern]:
        """The page in place of the usual form, and its three verbs."""
        verbs = {"change": self._show, "start": self._start, "abort": self._abort, "undo": self._undo}
        return [
            *(self._url(verb, view) for verb, view in verbs.items()),
            *(url for url in super().get_urls() if url.name and not url.name.endswith("_change")),
        ]

    def _url(self, verb: str, act: Callable[[HttpRequest, Operation], HttpResponse]) -> URLPattern:
        def view(request: HttpRequest, operation_id: int) -> HttpResponse:
            operation = self._found(request, operation_id)
            return self._show(request, operation) if request.method == "GET" else act(request, operation)

        allowed = ["GET"] if verb == "change" else ["GET", "POST"]
        wrapped = self.admin_site.admin_view(require_http_methods(allowed)(view))
        found: URLPattern = path(f"<int:operation_id>/{verb}/", wrapped, name=f"queues_operation_{verb}")
        return found

    # --- one operation -----------------------------------------------------------------------------------------------

    def _found(self, request: HttpRequest, operation_id: int) -> Operation:
        """The operation, for someone who may see it and its queue. Raises PermissionDenied, Http404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = Operation.objects.select_related("undoes")
        operation = rows.filter(pk=operation_id).first() if operation_id <= ID_MAX else None
        if operation is None:
            raise Http404
        if not permissions.may(request.user, "view", registry.get(operation.queue).model):
            raise PermissionDenied
        return operation

    def _may_act(self, request: HttpRequest, operation: Operation) -> bool:
        act = operation.undoes.act if operation.undoes else operation.act
        return permissions.may(request.user, act, registry.get(operation.queue).model)

    def _show(self, request: HttpRequest, operation: Operation, form: ReasonForm | None = None) -> HttpResponse:
        now, model = timezone.now(), registry.get(operation.queue).model
        mine = operation.actor_id == request.user.pk and not operation.is_stale(now=now)
        may_act = self._may_act(request, operation)
        undoable = operation.act != UNDO and operation.done and operation.ended_at
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{operation.act.capitalize()} {model._meta.verbose_name_plural}",
            "now": now,
            "operation": operation,
            "badge": self.badge(operation),
            "stale": operation.is_stale(now=now),
            "act": acts.ACTS.get(operation.act),
            "left": sorted(operation.left.items(), key=lambda pair: -pair[1]),
            "sample": self._sample(operation) if operation.state == State.PREPARED else [],
            "not_shown": max(operation.planned - SHOWN, 0),
            "remaining": marks.span(operation.remaining),
            "rate": _rate(operation),
            "forecast": [(f"{pace:,}", marks.span(timedelta(minutes=operation.planned / pace))) for pace in PACES],
            "runs_again": run.runs_again(operation),
            "may_start": may_act and mine and operation.state == State.PREPARED and operation.planned,
            "may_abort": may_act and operation.state == State.RUNNING,
            "may_undo": may_act and undoable,
            "form": form
            or (ReasonForm() if operation.started_at else _start_form(operation)(initial={"pace": operation.pace})),
            "heard": {letter: operation.heard.count(letter) for letter in "gbo"},
        }
        status = 400 if form is not None and form.errors else 200
        return TemplateResponse(request, "desk/operation.html", context, status=status)

    def _start(self, request: HttpRequest, operation: Operation) -> HttpResponse:
        form = _start_form(operation)(request.POST)
        if not form.is_valid():
            return self._show(request, operation, form)
        said = {name: form.cleaned_data[name] for name in ("reason", "pace", "canary")}
        said |= {"actor": actor_of(request), "given": form.given, "now": timezone.now()}
        return self._do(request, operation, lambda: run.start(operation_id=operation.pk, **said))

    def _abort(self, request: HttpRequest, operation: Operation) -> HttpResponse:
        form = ReasonForm(request.POST)
        if not form.is_valid():
            return self._show(request, operation, form)
        said = {"actor": actor_of(request), "reason": form.cleaned_data["reason"], "now": timezone.now()}
        return self._do(request, operation, lambda: run.abort(operation_id=operation.pk, **said))

    def _undo(self, request: HttpRequest, operation: Operation) -> HttpResponse:
        """Only prepares it: what would be put back is looked at first, then started as any other."""
        actor = actor_of(request)
        return self._do(
            request,
            operation,
            lambda: freeze.prepare_undo(operation_id=operation.pk, actor=actor, now=timezone.now()),
        )

    def _do(self, request: HttpRequest, operation: Operation, act: Callable[[], Operation]) -> HttpResponse:
        name, now = request.path.rstrip("/").rpartition("/")[2], timezone.now()
        said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": operation.queue}
        try:
            with refusals.noted(actor=actor_of(request), act=f"{name} of {operation.act}", now=now, **said):
                operation = act()
        except (run.NotReady, LookupError) as error:
            messages.error(request, f"Nothing was done: {error}.")
        return redirect(address_of(operation))

    def _sample(self, operation: Operation) -> list[tuple[Any, SafeString, str, str]]:
        """The first items it would touch, as their list shows them: (item, badge, title, address)."""
        first = operation.portions.order_by("number").first()
        model = registry.get(operation.queue).model
        face = faces.for_model(model)
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        ids = [pk for pk, _version in first.items[:SHOWN]] if first else []
        rows = model._default_manager.filter(pk__in=ids).order_by("pk")
        return [
            (item, marks.badge(item.status, face.word(item.status)), face.title(item), reverse(base, args=[item.pk]))
            for item in rows
        ]

    # --- the list ----------------------------------------------------------------------------------------------------

    @display(description="operation")
    def number(self, row: Operation) -> str:
        """Its number, the link to its page."""
        return f"№ {row.pk}"

    @display(description="state")
    def badge(self, row: Operation) -> SafeString:
        """The state as word and shape."""
        word = BADGES.get(row.state) or str(row.get_state_display())
        return marks.badge(SHAPES[row.state], "Too old" if row.is_stale(now=timezone.now()) else word)

    @display(description="progress")
    def progress(self, row: Operation) -> str:
        """How far it came."""
        return f"{row.done:,} of {row.planned:,}"

    @display(description="prepared")
    def prepared(self, row: Operation) -> SafeString:
        """When it was prepared."""
        return marks.moment(row.prepared_at, now=timezone.now())

    @display(description="reason")
    def reason_short(self, row: Operation) -> str:
        """Why."""
        return row.reason[:120]


def address_of(operation: Operation) -> str:
    """The path of its page."""
    return reverse("admin:queues_operation_change", args=[operation.pk])


def _start_form(operation: Operation) -> type[StartForm]:
    return for_act(StartForm, acts.ACTS[operation.act].parameters if operation.act in acts.ACTS else ())


def _rate(operation: Operation) -> str:
    """Items a minute that it really made; "" before there is something to measure."""
    if operation.started_at is None or not operation.handled:
        return ""
    minutes = ((operation.ended_at or timezone.now()) - operation.started_at).total_seconds() / 60
    return f"{operation.handled / minutes:,.0f}" if minutes > 1 / 60 else ""
