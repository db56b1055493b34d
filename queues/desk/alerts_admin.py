"""Alerts at the desk: what fires, since when, who looks after it, what was told to whom; acknowledge and silence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_http_methods
from unfold.decorators import display

from queues.desk import (
    alert_acts,
    alert_messages_admin,
    alert_rights,
    marks,
    permissions,
    reasoned,
    silences_admin,
)
from queues.desk.filters import ID_MAX
from queues.desk.forms import ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.monitor import notice, rules
from queues.monitor.models import Alert, AlertDelivery, Severity, Silence

LIST = "admin:queues_alert_changelist"
SHAPES = {
    Alert.State.PENDING: "pending",
    Alert.State.FIRING: "bad",
    Alert.State.ACKNOWLEDGED: "person",
    Alert.State.RESOLVED: "good",
}
TABS = [("", "Open"), ("resolved", "Resolved"), ("all", "All")]
DELIVERIES_SHOWN = 30


class SilenceForm(ReasonForm):
    """How long nothing is told, and of what."""

    hours = forms.TypedChoiceField(
        label="Tell nothing",
        coerce=int,
        choices=[(1, "for 1 hour"), (4, "for 4 hours"), (24, "for 24 hours"), (168, "for a week")],
        widget=forms.Select(attrs={"class": "desk-input"}),
    )
    what = forms.ChoiceField(
        label="Of",
        choices=[("this", "this rule and scope"), ("rule", "this rule, whatever the scope"), ("all", "all alerts")],
        widget=forms.Select(attrs={"class": "desk-input"}),
    )
    field_order = ["what", "hours", "reason"]


class StateFilter(admin.SimpleListFilter):
    """Without a choice: what is open."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The states, and all of them."""
        return [*Alert.State.choices, ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The alerts of the state."""
        if self.value() == "all":
            return queryset
        if self.value() in Alert.State.values:
            return queryset.filter(state=self.value())
        return queryset.exclude(state=Alert.State.RESOLVED)


@admin.register(Alert)
class AlertAdmin(RecordAdmin):
    """Rules that hold, the urgent ones first."""

    list_display = ("badge", "severity_word", "what", "words_short", "since", "so_long", "told")
    list_display_links = ("what",)
    list_filter = (StateFilter,)
    list_filter_submit = True
    list_select_related = ("acknowledged_by",)
    list_before_template = "desk/alert_tabs.html"

    # --- addresses ---------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The list, one alert, and the acts."""
        wrap, both = self.admin_site.admin_view, require_http_methods(["GET", "POST"])
        return [
            path("", wrap(self.changelist_view), name="queues_alert_changelist"),
            path("<int:alert_id>/change/", wrap(require_GET(self.alert_view)), name="queues_alert_change"),
            path("<int:alert_id>/acknowledge/", wrap(both(self.acknowledge_view)), name="queues_alert_acknowledge"),
            path("<int:alert_id>/silence/", wrap(both(self.silence_view)), name="queues_alert_silence"),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        """Pages before tickets, what nobody has taken before what somebody has, the newest first."""
        order = Case(
            When(state=Alert.State.RESOLVED, then=Value(4)),
            When(state=Alert.State.PENDING, then=Value(3)),
            When(state=Alert.State.ACKNOWLEDGED, then=Value(2)),
            When(severity=Severity.PAGE, then=Value(0)),
            default=Value(1),
            output_field=IntegerField(),
        )
        return Alert.objects.annotate(urgency=order).order_by("urgency", "-id")

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """As `get_queryset` says."""
        return ["urgency", "-id"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list with its tabs and the silences in force."""
        if request.method != "GET":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        taken, now = request.GET.get("state", ""), timezone.now()
        silences = Silence.objects.filter(until__gt=now, ended_at__isnull=True).select_related("created_by")
        extra = {
            "tabs": [(f"?state={name}" if name else "?", word, name == taken) for name, word in TABS],
            "silences": [(row, silences_admin.spoken(row), marks.moment(row.until, now=now)) for row in silences[:20]],
            "may_handle": permissions.may(request.user, alert_acts.HANDLE, Alert),
            "calm": not Alert.objects.exclude(state=Alert.State.RESOLVED).exists() and not taken,
        }
        response: HttpResponse = super().changelist_view(request, extra | (extra_context or {}))
        return response

    def alert_view(self, request: HttpRequest, alert_id: int) -> HttpResponse:
        """One alert: what, since when, what to do, what was told to whom."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row, now = _alert(alert_id), timezone.now()
        rule = rules.get(row.rule)
        steps = [
            ("Found first", row.pending_at),
            ("Fired", row.firing_at),
            ("Acknowledged", row.acknowledged_at),
            ("Over", row.resolved_at),
        ]
        figures = [(name.replace("_", " "), value) for name, value in row.values.items() if name != "path"]
        deliveries = AlertDelivery.objects.filter(alert=row).order_by("-pk")[:DELIVERIES_SHOWN]
        context = {
            **self.admin_site.each_context(request),
            "title": f"{notice.title(row)}{f' ({row.scope})' if row.scope else ''}",
            "alert": row,
            "badge": self.badge(row),
            "advice": rule.advice if rule else "",
            "link": str(row.values.get("path", "")),
            "figures": [(name, value) for name, value in figures if value not in ("", None, [])],
            "steps": [(word, marks.exactly(at, now=now)) for word, at in steps if at],
            "lasted": self.lasted(row),
            "silenced": row.silenced_until if row.silenced_until and row.silenced_until > now else None,
            "deliveries": [
                (each, alert_messages_admin.badge(each), marks.moment(each.created_at, now=now)) for each in deliveries
            ],
            "may_handle": permissions.may(request.user, alert_acts.HANDLE, Alert),
            "back": reverse(LIST),
        }
        return TemplateResponse(request, "desk/alert.html", context)

    # --- acts --------------------------------------------------------------------------------------------------------

    def acknowledge_view(self, request: HttpRequest, alert_id: int) -> HttpResponse:
        """Say that somebody looks after it."""
        row, form, actor = _handled(request, alert_id), ReasonForm(request.POST or None), actor_of(request)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            done = alert_acts.acknowledge(alert_id=row.pk, actor=actor, reason=reason, now=timezone.now())
            return f"You look after “{notice.title(row)}”. It is not told again until it is over." if done else ""

        return self._ask(
            request,
            title=f"Acknowledge “{notice.title(row)}”",
            effect="It is not repeated any more. When it is over, that is told.",
            button="Acknowledge",
            back=reverse("admin:queues_alert_change", args=[row.pk]),
            form=form,
            act=act,
            refusal="Nothing was done: it does not fire (any more), or somebody has acknowledged it.",
        )

    def silence_view(self, request: HttpRequest, alert_id: int) -> HttpResponse:
        """Tell nothing of it for a time."""
        row, form, actor = _handled(request, alert_id), SilenceForm(request.POST or None), actor_of(request)

        def act() -> str:
            said, now = form.cleaned_data, timezone.now()
            made = alert_acts.silence(
                rule="" if said["what"] == "all" else row.rule,
                scope=row.scope if said["what"] == "this" else "",
                until=now + timedelta(hours=said["hours"]),
                actor=actor,
                reason=said["reason"],
                now=now,
            )
            return f"Nothing is told of {silences_admin.spoken(made)} until {made.until:%Y-%m-%d %H:%M} UTC."

        return self._ask(
            request,
            title=f"Silence “{notice.title(row)}”",
            effect="It is looked at and shown, but nobody is told until the time is over or somebody ends it.",
            button="Silence",
            back=reverse("admin:queues_alert_change", args=[row.pk]),
            form=form,
            act=act,
            refusal="",
            gives_up=True,
        )

    def _ask(self, request: HttpRequest, *, act: Callable[[], str], **said: Any) -> HttpResponse:
        return reasoned.page(request, site=self.admin_site, act=act, **said)

    # --- the list's columns ------------------------------------------------------------------------------------------

    @display(description="state")
    def badge(self, row: Alert) -> SafeString:
        """Its state; a silenced one says so."""
        silenced = row.silenced_until and row.silenced_until > timezone.now() and row.state != Alert.State.RESOLVED
        if silenced:
            return marks.badge("paused", f"{row.get_state_display()}, silenced")
        return marks.badge(SHAPES[Alert.State(row.state)], row.get_state_display())

    @display(description="asks for")
    def severity_word(self, row: Alert) -> str:
        """Page or ticket."""
        return row.get_severity_display()

    @display(description="what")
    def what(self, row: Alert) -> SafeString:
        """The rule's title and the scope."""
        return format_html('<strong>{}</strong> <span class="subject">{}</span>', notice.title(row), row.scope)

    @display(description="in words")
    def words_short(self, row: Alert) -> str:
        """The sentence."""
        return row.words[:160]

    @display(description="since")
    def since(self, row: Alert) -> SafeString:
        """When it fired, or was found."""
        return marks.moment(row.firing_at or row.pending_at, now=timezone.now())

    def lasted(self, row: Alert) -> str:
        """So long until now, or until it was over."""
        return notice.lasted((row.resolved_at or timezone.now()) - (row.firing_at or row.pending_at))

    @display(description="for")
    def so_long(self, row: Alert) -> str:
        """The same, so that it reads without its heading on a small screen."""
        return f"for {self.lasted(row)}"

    @display(description="told")
    def told(self, row: Alert) -> SafeString | str:
        """When last."""
        if row.last_sent_at is None:
            return "nobody told"
        return format_html("told {}", marks.moment(row.last_sent_at, now=timezone.now()))


def _alert(alert_id: int) -> Alert:
    row = Alert.objects.select_related("acknowledged_by").filter(pk=alert_id).first() if alert_id <= ID_MAX else None
    if row is None:
        raise Http404
    return row


def _handled(request: HttpRequest, alert_id: int) -> Alert:
    """The alert, for somebody who may handle it."""
    alert_rights.require(request)
    return _alert(alert_id)
