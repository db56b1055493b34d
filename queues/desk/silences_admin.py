"""Silences at the desk: what is not told, why, how long; end one early."""

from __future__ import annotations

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods
from unfold.decorators import display

from queues.desk import alert_acts, alert_rights, marks, reasoned
from queues.desk.filters import ID_MAX
from queues.desk.forms import ReasonForm
from queues.desk.records_admin import RecordAdmin
from queues.desk.requests import actor_of
from queues.monitor import rules
from queues.monitor.models import Silence


@admin.register(Silence)
class SilenceAdmin(RecordAdmin):
    """What is not told, why and how long."""

    list_display = ("what", "state", "reason", "created_by", "begun", "over", "end_link")
    fields = ("what", "state", "reason", "created_by", "begun", "over")
    readonly_fields = fields
    ordering = ("-id",)
    list_select_related = ("created_by",)

    def get_urls(self) -> list[URLPattern]:
        """A page that ends one, before the usual ones."""
        both = require_http_methods(["GET", "POST"])
        end = self.admin_site.admin_view(both(self.end_view))
        return [path("<int:silence_id>/end/", end, name="queues_silence_end"), *super().get_urls()]

    def end_view(self, request: HttpRequest, silence_id: int) -> HttpResponse:
        """Tell again."""
        alert_rights.require(request)
        row = Silence.objects.filter(pk=silence_id).first() if silence_id <= ID_MAX else None
        if row is None:
            raise Http404
        form, actor = ReasonForm(request.POST or None), actor_of(request)

        def act() -> str:
            reason = form.cleaned_data["reason"]
            done = alert_acts.end_silence(silence_id=row.pk, actor=actor, reason=reason, now=timezone.now())
            return f"Told again: {spoken(row)}." if done else ""

        return reasoned.page(
            request,
            site=self.admin_site,
            title=f"End the silence of {spoken(row)}",
            effect="What fires still is told within a minute.",
            button="End it",
            back=reverse("admin:queues_alert_changelist"),
            form=form,
            act=act,
            refusal="Nothing was done: it is over already.",
        )

    @display(description="what")
    def what(self, row: Silence) -> str:
        """Rule and scope."""
        return spoken(row)

    @display(description="state")
    def state(self, row: Silence) -> SafeString:
        """Whether it is in force."""
        return marks.badge("paused", "In force") if _in_force(row) else marks.badge("good", "Over")

    @display(description="since")
    def begun(self, row: Silence) -> SafeString:
        """When it began."""
        return marks.moment(row.created_at, now=timezone.now())

    @display(description="until")
    def over(self, row: Silence) -> SafeString:
        """When it ends, or ended."""
        return marks.moment(row.ended_at or row.until, now=timezone.now())

    @display(description="act")
    def end_link(self, row: Silence) -> SafeString | str:
        """To the page that asks for a reason."""
        if not _in_force(row):
            return ""
        url = reverse("admin:queues_silence_end", args=[row.pk])
        return format_html('<a class="desk-link" href="{}" aria-label="End {}">End…</a>', url, spoken(row))


def _in_force(row: Silence) -> bool:
    return row.ended_at is None and row.until > timezone.now()


def spoken(row: Silence) -> str:
    """What it silences, in words."""
    rule = rules.get(row.rule)
    named = f"“{rule.title}”" if rule else row.rule or "all alerts"
    return f"{named} ({row.scope})" if row.scope else named
