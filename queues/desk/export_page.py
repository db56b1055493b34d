"""The page that exports a list as it is filtered: GET asks for form and reason, POST streams the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.http import urlencode

from queues.desk import exports, grammar, listing, refusals
from queues.desk.forms import ExportForm
from queues.desk.requests import actor_of

if TYPE_CHECKING:
    from queues.desk.admin import QueueItemAdmin


def view(request: HttpRequest, *, desk: QueueItemAdmin) -> HttpResponseBase:
    """Ask, or stream. Raises PermissionDenied."""
    if not desk.has_view_permission(request):
        if request.method == "GET":
            raise PermissionDenied
        said: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": desk.queue.name}
        with refusals.noted(actor=actor_of(request), act="export", now=timezone.now(), **said):
            raise PermissionDenied
    kept = listing.kept(request.GET)
    back = desk.address("changelist") + (f"?{urlencode(kept)}" if kept else "")
    form, selection = ExportForm(request.POST or None), listing.selection(request.GET)
    if request.method == "POST" and form.is_valid():
        how: dict[str, Any] = {"form": form.cleaned_data["form"], "reason": form.cleaned_data["reason"]}
        try:
            lines = exports.begin(
                queue=desk.queue.name, selection=selection, actor=actor_of(request), clock=timezone.now, **how
            )
        except grammar.Mistake:
            return redirect(back)  # the list says what is wrong with its filter
        name = f"{desk.queue.name}-{timezone.now():%Y%m%d-%H%M}.{how['form']}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
        return StreamingHttpResponse(lines, content_type=exports.TYPES[how["form"]], headers=headers)
    context = {
        **desk.admin_site.each_context(request),
        "title": f"Export {desk.opts.verbose_name_plural}",
        "effect": f"Of: {selection.words}. Without contents; of addresses only the first letter and the domain.",
        "button": "Export",
        "back": back,
        "form": form,
    }
    return TemplateResponse(request, "desk/reasoned.html", context, status=400 if form.errors else 200)
