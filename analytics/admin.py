"""Campaigns at the desk, how their figures do, and the failure drill. Every change is in the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from analytics import drill, mirror, stats
from analytics.models import Campaign, Creative, Drill, Event, QueryStat, RefreshState
from analytics.panels.page import ALL
from queues.desk import bounded, ledger, marks, reasoned
from queues.desk.forms import ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of

QUEUE = "analytics"
"""Under which the ledger has it."""
LEVELS_OF = timedelta(hours=24)


def _record(request: HttpRequest, act: str, plan: str, reason: str, **result: Any) -> None:
    actor = actor_of(request)
    ledger.record(
        act=act,
        actor=actor.user,
        actor_name=actor.name,
        queue=QUEUE,
        plan=plan,
        reason=reason,
        result=result,
        request_id=actor.request_id,
        now=timezone.now(),
    )


class CreativeInline(TabularInline):
    """The campaign's advertisements; one that has events stays."""

    model = Creative
    extra = 0
    can_delete = False
    show_change_link = False


@admin.register(Campaign)
class CampaignAdmin(ModelAdmin):
    """Who owns it, who may look, its money and its days."""

    list_display = ("name", "owner", "currency", "time_zone", "days", "look")
    fields = ("name", "owner", "members", "currency", "time_zone", "budget", "starts_on", "ends_on")
    autocomplete_fields = ("owner", "members")
    inlines = (CreativeInline,)
    search_fields = ("name__startswith",)
    list_select_related = ("owner",)
    actions = None
    show_full_result_count = False
    paginator = bounded.CappedPaginator
    list_per_page = 50
    sortable_by = ()

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """Not once it has events: they are what customers were billed for."""
        if obj is not None and Event.objects.filter(campaign=obj).exists():
            return False
        return bool(super().has_delete_permission(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> tuple[str, ...]:
        """Hours and money of events that are counted already cannot change their meaning."""
        fixed = obj is not None and Event.objects.filter(campaign=obj).exists()
        return ("currency", "time_zone") if fixed else ()

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: bool) -> None:
        """Save it with its ledger entry, in the transaction that the admin's view has begun."""
        super().save_model(request, obj, form, change)
        act, reason = ("change_campaign", "changed at the desk") if change else ("add_campaign", "new at the desk")
        _record(request, act, f"{obj.pk}: {obj}", reason, changed=sorted(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: Campaign) -> None:
        """With the copies of its figures on this machine."""
        pk, name = obj.pk, str(obj)
        super().delete_model(request, obj)
        _record(request, "delete_campaign", f"{pk}: {name}", "deleted at the desk")
        transaction.on_commit(lambda: mirror.forget(pk))

    @display(description="days")
    def days(self, row: Campaign) -> str:
        """From when to when."""
        return f"{row.starts_on} to {row.ends_on or '…'}"

    @display(description="page")
    def look(self, row: Campaign) -> SafeString:
        """What its customer sees."""
        return format_html('<a class="desk-link" href="{}">Look</a>', reverse("analytics:campaign", args=[row.pk]))


@admin.register(QueryStat)
class QueryStatAdmin(RecordAdmin):
    """What queries did, minute by minute, under the service levels of the last day."""

    list_display = ("minute", "panel", "outcome", "count", "attempts", "mean")
    fields = ("minute", "panel", "outcome", "count", "attempts", "milliseconds", *stats.COLUMNS)
    ordering = ("-minute", "panel", "outcome")
    list_filter = ("outcome",)
    list_before_template = "analytics/levels.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the levels above the list."""
        levels = stats.levels(since=timezone.now() - LEVELS_OF)
        answer: HttpResponse = super().changelist_view(request, (extra_context or {}) | {"levels": levels})
        return answer

    @display(description="mean")
    def mean(self, row: QueryStat) -> str:
        """Milliseconds of one."""
        return f"{row.milliseconds / row.count:.0f} ms" if row.count else "–"


@admin.register(RefreshState)
class RefreshStateAdmin(RecordAdmin):
    """Up to when the rollups are complete, and which campaigns cannot be refreshed."""

    list_display = ("scope", "complete", "consecutive_failures", "alerted", "recovered", "checked", "repaired")
    fields = list_display
    readonly_fields = list_display
    ordering = ("-consecutive_failures", "scope")

    @display(description="includes everything up to")
    def complete(self, row: RefreshState) -> SafeString:
        """Of the rollups."""
        return marks.moment(row.as_of, now=timezone.now())

    @display(description="alert")
    def alerted(self, row: RefreshState) -> SafeString:
        """Since when."""
        return marks.moment(row.alerted_at, now=timezone.now())

    @display(description="recovered")
    def recovered(self, row: RefreshState) -> SafeString:
        """When it last did."""
        return marks.moment(row.recovered_at, now=timezone.now())

    @display(description="checked against raw events")
    def checked(self, row: RefreshState) -> SafeString:
        """The last recount."""
        return marks.moment(row.checked_at, now=timezone.now())


class DrillForm(ReasonForm):
    """Which panels fail, and how."""

    panel = forms.ChoiceField(
        choices=[("", "All panels"), *((name, panel.title) for name, panel in ALL.items())],
        required=False,
        widget=forms.Select(attrs={"class": "desk-input"}),
    )
    kind = forms.ChoiceField(choices=list(drill.KINDS.items()), widget=forms.Select(attrs={"class": "desk-input"}))
    field_order = ("panel", "kind", "reason")


@admin.register(Drill)
class DrillAdmin(RecordAdmin):
    """Failures that are rehearsed just now."""

    list_display = ("panel", "what", "ends")
    fields = list_display
    readonly_fields = fields
    ordering = ("panel",)
    list_before_template = "analytics/drills.html"

    def get_urls(self) -> list[URLPattern]:
        """Two pages of acts before the usual ones."""
        wrap, both = self.admin_site.admin_view, require_http_methods(["GET", "POST"])
        return [
            path("begin/", wrap(both(self.begin_view)), name="analytics_drill_begin"),
            path("end/", wrap(both(self.end_view)), name="analytics_drill_end"),
            *super().get_urls(),
        ]

    def begin_view(self, request: HttpRequest) -> HttpResponse:
        """Let panels fail for some minutes."""
        _may_drill(request)
        form = DrillForm(request.POST or None)

        def act() -> str:
            chosen, kind = form.cleaned_data["panel"], form.cleaned_data["kind"]
            with transaction.atomic():
                for name in [chosen] if chosen else ALL:
                    drill.begin(panel=name, kind=kind, now=timezone.now())
                _record(request, "begin_drill", f"{chosen or 'all panels'}: {kind}", form.cleaned_data["reason"])
            return f"The drill goes on for {drill.LASTS.seconds // 60} minutes. Look at any campaign now."

        return self._ask(
            request,
            title="Rehearse a failure",
            effect="Customers see what they would see in earnest: the last good figures with their age. Nothing is "
            "lost, and it ends by itself after ten minutes.",
            button="Begin the drill",
            form=form,
            act=act,
        )

    def end_view(self, request: HttpRequest) -> HttpResponse:
        """End all drills at once."""
        _may_drill(request)
        form = ReasonForm(request.POST or None)

        def act() -> str:
            with transaction.atomic():
                ended = drill.end()
                if ended:
                    _record(request, "end_drill", f"{ended} panels", form.cleaned_data["reason"])
            return "The drill is over; figures recover within a minute." if ended else ""

        effect = "All panels answer again with their next query."
        return self._ask(request, title="End the drill", effect=effect, button="End the drill", form=form, act=act)

    @display(description="how")
    def what(self, row: Drill) -> str:
        """In words."""
        return drill.KINDS.get(row.kind, row.kind)

    @display(description="ends")
    def ends(self, row: Drill) -> SafeString:
        """By itself."""
        return marks.moment(row.until, now=timezone.now())

    def _ask(self, request: HttpRequest, **parts: Any) -> HttpResponse:
        back = reverse("admin:analytics_drill_changelist")
        return reasoned.page(request, site=self.admin_site, back=back, refusal="Nothing was going on.", **parts)


def _may_drill(request: HttpRequest) -> None:
    if not request.user.has_perm("analytics.drill_campaign"):
        raise PermissionDenied
