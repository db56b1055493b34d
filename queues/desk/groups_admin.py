"""Failure groups' pages: the list with counts and trend, one group with its acts, and the page that asks for a reason.

Acts on a group's items are the same plan pages as everywhere, with the group as their filter.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_http_methods
from unfold.decorators import display

from queues.desk import acts, groups, marks, permissions, reasoned, refusals
from queues.desk.filters import ID_MAX
from queues.desk.forms import IgnoreForm, ReasonForm
from queues.desk.records_admin import RecordAdmin, RecordList
from queues.desk.requests import actor_of
from queues.engine import registry
from queues.engine.failure_groups import FailureGroup
from queues.engine.states import Status

SHAPES = {"open": "bad", "acknowledged": "person", "resolved": "good", "ignored": "cancelled"}
TABS = [("", "To look after"), ("resolved", "Resolved"), ("ignored", "Ignored"), ("all", "All")]


class StateFilter(admin.SimpleListFilter):
    """Without a choice: what somebody still has to look after."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The states, and all of them."""
        return [*FailureGroup.State.choices, ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The groups of the state."""
        if self.value() == "all":
            return queryset
        return queryset.filter(state__in=[self.value()] if self.value() in FailureGroup.State.values else groups.LIVE)


class QueueFilter(admin.SimpleListFilter):
    """By queue, of those that are registered."""

    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Their names."""
        return [(queue.name, queue.name) for queue in registry.all_queues()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The groups of the queue."""
        known = [name for name, _ in self.lookup_choices]
        return queryset.filter(queue=self.value()) if self.value() in known else queryset


class GroupList(RecordList):
    """A page of groups; each row gets its trend, all of them in one query a queue."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """The page, with counts and trends."""
        super().get_results(request)
        ids = [row.pk for row in list(self.result_list)]
        with_counts = groups.counted(FailureGroup.objects.filter(pk__in=ids)).select_related("owner")
        found = {row.pk: row for row in with_counts}
        trends = groups.trends(found.values(), now=timezone.now())
        for row in found.values():
            row.trend = trends.get(row.pk)  # type: ignore[attr-defined]  # for the list's column
        self.result_list = [found[pk] for pk in ids if pk in found]


@admin.register(FailureGroup)
class FailureGroupAdmin(RecordAdmin):
    """Causes of failures, those seen last first."""

    list_display = ("badge", "cause", "queue", "dead", "retrying", "trend", "first_seen", "last_seen", "owner")
    list_display_links = ("cause",)
    list_filter = (StateFilter, QueueFilter)
    list_filter_submit = True
    list_per_page = 25
    ordering = ("-last_seen_at", "-id")
    list_before_template = "desk/group_tabs.html"

    # --- addresses ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The list, one group, and what staff say of it."""
        wrap, both = self.admin_site.admin_view, require_http_methods(["GET", "POST"])
        return [
            path("", wrap(self.changelist_view), name="queues_failuregroup_changelist"),
            path("<int:group_id>/change/", wrap(require_GET(self.group_view)), name="queues_failuregroup_change"),
            path("<int:group_id>/<slug:verdict>/", wrap(both(self.say_view)), name="queues_failuregroup_say"),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordList]:
        """The one with counts."""
        return GroupList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list with its tabs."""
        if request.method != "GET":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        taken = request.GET.get("state", "")
        extra = {"tabs": [(f"?state={name}" if name else "?", word, name == taken) for name, word in TABS]}
        response: HttpResponse = super().changelist_view(request, extra | (extra_context or {}))
        return response

    # --- the list's columns ------------------------------------------------------------------------------------------

    @display(description="state")
    def badge(self, group: FailureGroup) -> SafeString:
        """The state; a regression says so."""
        if group.regressed_at and group.state == FailureGroup.State.OPEN:
            return marks.badge("warning", "Regressed")
        return marks.badge(SHAPES.get(group.state, "note"), group.get_state_display())

    @display(description="cause")
    def cause(self, group: FailureGroup) -> SafeString:
        """The code, and what the first of them said."""
        return format_html(
            '<strong>{}</strong> <span class="subject">{}</span>', group.code or "unknown", group.words[:140]
        )

    @display(description="dead")
    def dead(self, group: Any) -> SafeString:
        """Dead letters now, as a link to them."""
        return _number(group, group.dead, Status.DEAD_LETTER)

    @display(description="retrying")
    def retrying(self, group: Any) -> SafeString:
        """Items that are tried again, as a link to them."""
        return _number(group, group.retrying, Status.RETRYING)

    @display(description="last 24 h")
    def trend(self, group: Any) -> SafeString:
        """Dead letters by the hour."""
        return _bars(group.trend)

    @display(description="first seen")
    def first_seen(self, group: FailureGroup) -> SafeString:
        """When it was seen first."""
        return marks.moment(group.first_seen_at, now=timezone.now())

    @display(description="last seen")
    def last_seen(self, group: FailureGroup) -> SafeString:
        """When it was seen last."""
        return marks.moment(group.last_seen_at, now=timezone.now())

    # --- one group ---------------------------------------------------------------------------------------------------

    def group_view(self, request: HttpRequest, group_id: int) -> HttpResponse:
        """Everything about one cause, and what can be done about it."""
        group, now = self._found(request, group_id), timezone.now()
        model = registry.get(group.queue).model
        may_see = permissions.may(request.user, "view", model) and admin.site.is_registered(model)
        triage = permissions.may(request.user, "triage", FailureGroup)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Failure group {group.fingerprint}",
            "now": now,
            "group": group,
            "badge": self.badge(group),
            "dead": groups.capped(group.dead),
            "retrying": groups.capped(group.retrying),
            "noun": model._meta.verbose_name_plural,
            "items_url": list_address(group.queue) if may_see else "",
            "query": urlencode({"q": f"fingerprint:{group.fingerprint}"}),
            "trend": _bars(groups.trends([group], now=now).get(group.pk)),
            "facts": self._facts(group, now),
            "verdicts": [each for each in groups.VERDICTS.values() if triage and group.state in each.since],
            "item_acts": [
                act
                for act in acts.ACTS.values()
                if may_see and act.fits(status=Status.DEAD_LETTER, purged=False)
                if permissions.may(request.user, act.name, model)
            ]
            if group.dead
            else [],
            "list_url": reverse("admin:queues_failuregroup_changelist"),
        }
        return TemplateResponse(request, "desk/group.html", context)

    def say_view(self, request: HttpRequest, group_id: int, verdict: str) -> HttpResponse:
        """Ask for a reason; then say it."""
        group = self._found(request, group_id)
        said = groups.VERDICTS.get(verdict)
        if said is None:
            raise Http404
        if not permissions.may(request.user, "triage", FailureGroup):
            if request.method == "GET":
                raise PermissionDenied
            why: dict[str, Any] = {"reason": request.POST.get("reason", ""), "queue": group.queue}
            with refusals.noted(actor=actor_of(request), act=verdict, now=timezone.now(), **why):
                raise PermissionDenied
        form = (IgnoreForm if verdict == "ignore" else ReasonForm)(request.POST or None)
        actor = actor_of(request)

        def act() -> str:
            now, hours = timezone.now(), form.cleaned_data.get("hours", 0)
            done = groups.say(
                group_id=group.pk,
                verdict=verdict,
                actor=actor,
                reason=form.cleaned_data["reason"],
                now=now,
                until=now + timedelta(hours=hours) if hours else None,
            )
            return f"The group is {said.done}." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"{verdict.capitalize()}: {group.code or 'unknown cause'}",
            effect=said.effect,
            button=verdict.capitalize(),
            back=reverse("admin:queues_failuregroup_change", args=[group.pk]),
            form=form,
            act=act,
            refusal="Nothing was done: its state has changed meanwhile.",
        )

    def _found(self, request: HttpRequest, group_id: int) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = groups.counted(FailureGroup.objects.filter(pk=min(group_id, ID_MAX))).select_related("owner")
        group = rows.first()
        if group is None or group.queue not in {queue.name for queue in registry.all_queues()}:
            raise Http404
        return group

    def _facts(self, group: FailureGroup, now: Any) -> list[tuple[str, Any]]:
        facts = [
            ("Queue", group.queue),
            ("Cause", group.code),
            ("First seen", marks.exactly(group.first_seen_at, now=now)),
            ("Last seen", marks.exactly(group.last_seen_at, now=now)),
            ("State since", marks.exactly(group.changed_at, now=now)),
            ("Ignored until", marks.exactly(group.ignored_until, now=now) if group.ignored_until else ""),
            ("Seen again", marks.exactly(group.regressed_at, now=now) if group.regressed_at else ""),
            ("Looked after by", str(group.owner) if group.owner else ""),
            ("Note", group.note),
            ("Type of the first", group.kind),
            ("Fingerprint", group.fingerprint),
        ]
        return [(label, value) for label, value in facts if value != ""]


def list_address(queue: str) -> str:
    """The list of a queue's items; "" for a queue that has no pages at the desk."""
    model = registry.get(queue).model
    if not admin.site.is_registered(model):
        return ""
    opts = model._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")


def _number(group: FailureGroup, number: int, status: Status) -> SafeString:
    if not number:
        return marks.nothing()
    query = urlencode({"status": status.value, "q": f"fingerprint:{group.fingerprint}"})
    address = list_address(group.queue)
    if not address:
        return format_html("{}", groups.capped(number))
    return format_html('<a class="desk-link" href="{}?{}">{}</a>', address, query, groups.capped(number))


def _bars(numbers: list[int] | None) -> SafeString:
    if numbers is None:
        return format_html('<span class="desk-quiet">{}</span>', "took too long to count")
    return groups.chart(numbers)
