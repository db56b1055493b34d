"""Pauses at the desk: what is paused, pausing a queue (or one type of it), resuming."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from queues.desk import marks, operations, permissions, reasoned, refusals
from queues.desk.forms import PauseForm, ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.engine import registry
from queues.engine.pauses import Pause


@admin.register(Pause)
class PauseAdmin(RecordAdmin):
    """Queues, and types of them, that hand out nothing."""

    list_display = ("queue", "what", "reason", "paused_by", "since", "until", "resume_link")
    fields = ("queue", "what", "reason", "paused_by", "since", "until")
    readonly_fields = fields
    ordering = ("queue", "kind")
    list_select_related = ("paused_by",)

    def get_urls(self) -> list[URLPattern]:
        """Two pages of acts before the usual ones."""
        wrap, both = self.admin_site.admin_view, require_http_methods(["GET", "POST"])
        return [
            path("<slug:queue>/pause/", wrap(both(self.pause_view)), name="queues_pause_pause"),
            path("<slug:queue>/resume/", wrap(both(self.resume_view)), name="queues_pause_resume"),
            *super().get_urls(),
        ]

    def pause_view(self, request: HttpRequest, queue: str) -> HttpResponse:
        """Pause a queue, or one type of it (`?kind=`)."""
        kind = _allowed(request, queue)
        form = PauseForm(request.POST or None, initial={"kind": kind})
        actor = actor_of(request)

        def act() -> str:
            now, hours, meant = timezone.now(), form.cleaned_data["hours"], form.cleaned_data["kind"] or kind
            done = operations.pause(
                queue=queue,
                kind=meant,
                actor=actor,
                reason=form.cleaned_data["reason"],
                now=now,
                resume_at=now + timedelta(hours=hours) if hours else None,
            )
            return f"{_named(queue, meant)} is paused." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"Pause {_named(queue, kind)}",
            effect="Nothing of it is handed out to workers until it is resumed. What comes in is kept and waits.",
            button="Pause",
            back=reverse("admin:index"),
            form=form,
            act=act,
            refusal="Nothing was done: it is paused already.",
            gives_up=True,
        )

    def resume_view(self, request: HttpRequest, queue: str) -> HttpResponse:
        """Resume it."""
        kind = _allowed(request, queue)
        form = ReasonForm(request.POST or None)
        actor = actor_of(request)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            done = operations.resume(queue=queue, kind=kind, actor=actor, reason=reason, now=timezone.now())
            return f"{_named(queue, kind)} hands out work again." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"Resume {_named(queue, kind)}",
            effect="Everything that waited is handed out again at once, as fast as its limits allow.",
            button="Resume",
            back=reverse("admin:index"),
            form=form,
            act=act,
            refusal="Nothing was done: it is not paused.",
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Those in force: one that is over by itself holds nothing any more."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.exclude(resume_at__isnull=False, resume_at__lte=timezone.now())

    @display(description="what")
    def what(self, row: Pause) -> str:
        """The whole queue, or a type."""
        return f"type {row.kind}" if row.kind else "the whole queue"

    @display(description="since")
    def since(self, row: Pause) -> SafeString:
        """When it was paused."""
        return marks.moment(row.paused_at, now=timezone.now())

    @display(description="until")
    def until(self, row: Pause) -> SafeString | str:
        """When it resumes by itself."""
        return marks.moment(row.resume_at, now=timezone.now()) if row.resume_at else "staff resume it"

    @display(description="act")
    def resume_link(self, row: Pause) -> SafeString:
        """To the page that asks for a reason."""
        query = f"?{urlencode({'kind': row.kind})}" if row.kind else ""
        address = reverse("admin:queues_pause_resume", args=[row.queue])
        return format_html('<a class="desk-link" href="{}{}">Resume…</a>', address, query)


def _allowed(request: HttpRequest, queue: str) -> str:
    """The type meant, for someone who may pause that queue. Raises Http404, PermissionDenied."""
    try:
        model = registry.get(queue).model
    except LookupError as error:
        raise Http404 from error
    if not permissions.may(request.user, "pause", model):
        if request.method == "GET":
            raise PermissionDenied
        said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": queue, "now": timezone.now()}
        with refusals.noted(actor=actor_of(request), act=request.path.rstrip("/").rpartition("/")[2], **said):
            raise PermissionDenied
    kind: Any = request.GET.get("kind", "")
    if len(kind) > 100 or not (kind.isprintable() or not kind):
        raise Http404
    return str(kind)


def _named(queue: str, kind: str) -> str:
    return f"type {kind} of queue {queue}" if kind else f"queue {queue}"
