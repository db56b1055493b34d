"""The page of an act on items: GET shows exactly what it would touch, POST with a reason does it.

The preview is sealed into the form (`plans`), so that what is done is what was shown. A second submission, or one that
comes after somebody else's, finds the items changed and leaves them alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode

from queues.desk import acts, grammar, listing, operations, permissions, plans, refusals
from queues.desk.bulk import freeze
from queues.desk.forms import ReasonForm, for_act
from queues.desk.operations_admin import address_of
from queues.desk.requests import actor_of
from queues.desk.selection import Selection

if TYPE_CHECKING:
    from queues.desk.admin import QueueItemAdmin

SHOWN = 8


def view(request: HttpRequest, act_name: str, *, desk: QueueItemAdmin) -> HttpResponse:
    """Ask, or act. Raises Http404 for an unknown act, PermissionDenied for one that is not this account's."""
    try:
        act = acts.get(act_name)
    except LookupError as error:
        raise Http404 from error
    now, queue = timezone.now(), desk.queue.name
    may = desk.has_view_permission(request) and permissions.may(request.user, act.name, desk.model)
    if not may and request.method == "GET":
        raise PermissionDenied
    reason = request.POST.get("reason", "")
    with refusals.noted(actor=actor_of(request), act=act.name, queue=queue, now=now, reason=reason):
        if not may:
            raise PermissionDenied
    if request.method == "GET":
        selection = listing.selection(request.GET)
        if selection == Selection():
            messages.error(request, f"Choose items or a filter first: there is no {act.name} of everything.")
            return redirect(_back(request, desk))
        try:
            plan = plans.make(act=act, queue=queue, selection=selection, now=now, sample=SHOWN)
        except grammar.Mistake:
            return redirect(_back(request, desk))  # the list says what is wrong with its filter
        return _ask(request, desk, plan, for_act(ReasonForm, act.parameters)(), now=now)
    if "prepare" in request.POST:
        selection = listing.selection(request.GET)
        return _prepare(request, desk, act, selection, now=now)
    sealed = request.POST.get("plan", "")
    try:
        plan = plans.unseal(sealed, act=act.name, queue=queue, for_user=request.user.pk)
    except plans.Stale:
        messages.error(request, "Nothing was done: the preview was too old. Look at it again, then confirm.")
        return redirect(request.get_full_path())
    form = for_act(ReasonForm, act.parameters)(request.POST)
    if not form.is_valid():
        return _ask(request, desk, plan, form, now=now, sealed=sealed)
    said: dict[str, Any] = {"reason": form.cleaned_data["reason"], "given": form.given}
    result = operations.perform(plan=plan, actor=actor_of(request), now=now, **said)
    _tell(request, desk, act, result)
    return redirect(_back(request, desk))


def _ask(
    request: HttpRequest,
    desk: QueueItemAdmin,
    plan: plans.Plan,
    form: ReasonForm,
    *,
    now: datetime,
    sealed: str = "",
) -> HttpResponse:
    sample = plan.sample or desk.model._default_manager.filter(pk__in=list(plan.versions)[:SHOWN]).order_by("-pk")
    rows = [(item, desk.badge(item), desk.face.title(item), desk.address("change", item.pk)) for item in sample]
    context = {
        **desk.admin_site.each_context(request),
        "opts": desk.opts,
        "title": f"{plan.act.label} {desk.opts.verbose_name_plural}",
        "now": now,
        "plan": plan,
        "at_once": plans.AT_ONCE,
        "sealed": sealed or plans.seal(plan, for_user=request.user.pk),
        "sample": rows,
        "not_shown": max(plan.count - len(rows), 0),
        "left": sorted(plan.left.items(), key=lambda pair: -pair[1]),
        "form": form,
        "back": _back(request, desk),
    }
    return TemplateResponse(request, "desk/act.html", context, status=400 if form.errors else 200)


def _prepare(
    request: HttpRequest, desk: QueueItemAdmin, act: acts.Act, selection: Selection, *, now: datetime
) -> HttpResponse:
    """Freeze all of the selection into an operation, and show that: it is started on its own page."""
    if selection == Selection():
        messages.error(request, f"Choose items or a filter first: there is no {act.name} of everything.")
        return redirect(_back(request, desk))
    said: dict[str, Any] = {"act": act.name, "queue": desk.queue.name, "selection": selection}
    try:
        return redirect(address_of(freeze.prepare(actor=actor_of(request), now=now, **said)))
    except grammar.Mistake:
        return redirect(_back(request, desk))


def _tell(request: HttpRequest, desk: QueueItemAdmin, act: acts.Act, result: operations.Result) -> None:
    left = "; ".join(f"{count:,} {why}" for why, count in sorted(result.left.items()))
    rest = f" Left alone: {left}." if left else ""
    if not result.done:
        messages.warning(request, f"Nothing was {act.done}.{rest}")
        return
    noun = desk.opts.verbose_name if result.done == 1 else desk.opts.verbose_name_plural
    said = f"{result.done:,} {noun} {act.done}.{rest} (Ledger entry {result.entry_id}.)"
    if result.operation_id is None:
        messages.success(request, said)
        return
    page = reverse("admin:queues_operation_change", args=[result.operation_id])
    messages.success(request, format_html('{} <a class="desk-link" href="{}">See it, or undo it</a>', said, page))


def _back(request: HttpRequest, desk: QueueItemAdmin) -> str:
    """To the one item, or to the list as it was filtered."""
    ids = listing.selection(request.GET).ids
    if len(ids) == 1 and ids[0]:
        return desk.address("change", ids[0])
    kept = listing.kept(request.GET)
    return desk.address("changelist") + (f"?{urlencode(kept)}" if kept else "")
