"""Pages of what is only looked at: rate counters, breakers, heartbeats, the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.views import ChangeList

from queues.desk import bounded, differences, edits, faces, marks, permissions
from queues.desk.ledger import LedgerEntry
from queues.engine.breaker import THRESHOLD, Breaker
from queues.engine.heartbeats import Heartbeat
from queues.engine.limiter import RateCounter
from queues.engine.revisions import Revision
from queues.engine.window import SECOND, Window
from queues.monitor.evaluate import BEAT as EVALUATOR
from queues.monitor.health import EVALUATED_MAX_AGE, HEARTBEAT_MAX_AGE

LINKED = 50
"""Ids in a link to the items of an act: an address has no room for a thousand."""


class RecordList(ChangeList):
    """Says "show all" only where a filter or a search hides something."""

    def get_results(self, request: HttpRequest) -> None:
        """The bounded page; the number without filters is never counted."""
        super().get_results(request)
        if not (self.has_active_filters or self.query):
            self.full_result_count = self.result_count


class RecordAdmin(ModelAdmin):
    """Rows that nobody edits."""

    actions = None
    show_full_result_count = False
    paginator = bounded.CappedPaginator
    list_per_page = 50
    list_fullwidth = True
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordList]:
        """The bounded one."""
        return RecordList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Written by the system."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never deleted here."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Its own permission alone."""
        return permissions.may(request.user, "view", self.model)


@admin.register(RateCounter)
class RateCounterAdmin(RecordAdmin):
    """Allowances as they stand at this moment."""

    list_display = ("key", "allowed", "used", "promised", "free_at", "used_last")
    fields = ("key", "allowed", "used", "promised", "free_at", "used_last")
    readonly_fields = fields
    ordering = ("-used_at",)
    search_fields = ("key__exact",)
    search_help_text = "Exact key, for example email.recipient:anna@example.com"

    @display(description="limit")
    def allowed(self, row: RateCounter) -> str:
        """Units in a window."""
        return f"{row.limit:,} in {marks.span(timedelta(seconds=row.window_seconds))}"

    @display(description="used now")
    def used(self, row: RateCounter) -> SafeString:
        """Units in the window that ends now."""
        used = sum(_window(row).slots.values())
        return format_html(
            '<meter class="desk-meter" min="0" max="{}" value="{}"></meter> {}', max(row.limit, 1), used, f"{used:,}"
        )

    @display(description="promised")
    def promised(self, row: RateCounter) -> str:
        """Units refused and told when to come."""
        return f"{sum(units for _slot, units in _window(row).promises):,}"

    @display(description="next free")
    def free_at(self, row: RateCounter) -> SafeString | str:
        """From when one more unit, asked for now, would be granted."""
        window = _window(row)
        if window.allows(ahead=False):
            return "now"
        begins = window.begins(window.earliest(ahead=False))
        return marks.moment(datetime.fromtimestamp(begins / SECOND, UTC), now=timezone.now())

    @display(description="last used")
    def used_last(self, row: RateCounter) -> SafeString:
        """When it was asked last."""
        return marks.moment(row.used_at, now=timezone.now())


def _window(row: RateCounter) -> Window:
    window = Window.load(
        limit=row.limit, length=max(row.window_seconds, 1), slots=row.slots, promises=row.promises or []
    )
    window.forget(int(timezone.now().timestamp() * SECOND))
    return window


@admin.register(Breaker)
class BreakerAdmin(RecordAdmin):
    """Transports that failed, and whether they are left alone."""

    list_display = ("name", "state", "failures", "open_until", "last_words", "changed")
    fields = ("name", "state", "failures", "open_until", "last_words", "changed")
    readonly_fields = fields
    ordering = ("name",)

    @display(description="state")
    def state(self, row: Breaker) -> SafeString:
        """Closed, open, or to be probed."""
        if row.open_until and row.open_until > timezone.now():
            return marks.badge("bad", "Open")
        if row.failures >= THRESHOLD:
            return marks.badge("warning", "To be probed")
        return marks.badge("warning", f"{row.failures} in a row") if row.failures else marks.badge("good", "Closed")

    @display(description="changed")
    def changed(self, row: Breaker) -> SafeString:
        """When it last failed or recovered."""
        return marks.moment(row.changed_at, now=timezone.now())


@admin.register(Heartbeat)
class HeartbeatAdmin(RecordAdmin):
    """The parts of the system and when they were heard last."""

    list_display = ("part", "state", "seen", "said")
    fields = ("part", "name", "state", "seen", "said")
    readonly_fields = fields
    ordering = ("-seen_at",)

    @display(description="part")
    def part(self, row: Heartbeat) -> str:
        """What it is, and on which machine."""
        return spoken(row.name)

    @display(description="state")
    def state(self, row: Heartbeat) -> SafeString:
        """Whether it was heard of lately."""
        return marks.badge("warning", "Silent") if is_silent(row) else marks.badge("good", "Heard")

    @display(description="seen")
    def seen(self, row: Heartbeat) -> SafeString:
        """When it was heard last."""
        return marks.moment(row.seen_at, now=timezone.now())

    @display(description="says")
    def said(self, row: Heartbeat) -> str:
        """What it says of itself."""
        plain = {key: value for key, value in row.detail.items() if not isinstance(value, list | dict)}
        return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in plain.items())


def spoken(name: str) -> str:
    """A heartbeat's name in words."""
    part, _colon, host = name.partition(":")
    words = {"cluster": "Workers", "supervisor": "Supervisor"}.get(part)
    if name == EVALUATOR:
        return "Look at the alert rules"
    return f"{words} on {host}" if words else name


def is_silent(beat: Heartbeat) -> bool:
    """Whether a heartbeat is older than it may be; the alert rules are looked at once a minute only."""
    most = EVALUATED_MAX_AGE if beat.name == EVALUATOR else HEARTBEAT_MAX_AGE
    return timezone.now() - beat.seen_at > most


def drawn_edit(entry: LedgerEntry) -> SafeString:
    """The differences of an edit, and whether they still are what the entry says."""
    revision = Revision.objects.filter(entry_id=entry.pk).first()
    if revision is None:
        return format_html("{}", "Removed with the item's contents, after their time.")
    model = next((face.model for face in faces.all_faces() if face.queue == entry.queue), None)
    editor = faces.for_model(model).editor if model is not None else None
    found = differences.of(editor=editor, before=revision.before, after=revision.after, seen=False)
    drawn = render_to_string("desk/differences.html", {"differences": found})
    if edits.is_original(revision, entry.result):
        return format_html("{}", drawn)
    return format_html("{} {}", marks.badge("bad", "Not what was recorded: it was changed since"), drawn)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(RecordAdmin):
    """Every act of staff, newest first."""

    list_display = ("when", "actor_name", "act", "queue", "touched", "plan_short", "reason_short")
    list_display_links = ("when",)
    fields = ("exactly", "actor_name", "act", "queue", "touched", "plan", "reason", "outcome", "request_id", "digest")
    readonly_fields = (*fields, "difference")
    ordering = ("-id",)
    search_fields = ("actor_name__exact",)
    search_help_text = "Exact name of who did it"

    @display(description="when")
    def when(self, row: LedgerEntry) -> SafeString:
        """The moment of the act."""
        return marks.moment(row.at, now=timezone.now())

    @display(description="when")
    def exactly(self, row: LedgerEntry) -> SafeString:
        """The same, to the second."""
        return marks.exactly(row.at, now=timezone.now())

    @display(description="items")
    def touched(self, row: LedgerEntry) -> SafeString | str:
        """How many, and a link to them where the desk has their page."""
        model = next((face.model for face in faces.all_faces() if face.queue == row.queue), None)
        if not row.items or model is None:
            return f"{row.item_count:,}"
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        query = urlencode([("id", item) for item in row.items[:LINKED]])
        return format_html('<a class="desk-link" href="{}?{}">{}</a>', address, query, f"{row.item_count:,}")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Of an edit also the difference."""
        return (*self.fields, "difference") if obj is not None and obj.act == "edit" else self.fields

    @display(description="difference")
    def difference(self, row: LedgerEntry) -> SafeString:
        """What an edit changed; contents only on the item's page, for who asked to see them."""
        return drawn_edit(row)

    @display(description="plan")
    def plan_short(self, row: LedgerEntry) -> str:
        """What was asked for."""
        return row.plan[:80]

    @display(description="reason")
    def reason_short(self, row: LedgerEntry) -> str:
        """Why."""
        return row.reason[:120]

    @display(description="result")
    def outcome(self, row: LedgerEntry) -> SafeString:
        """What came of it."""
        said: Mapping[str, Any] = row.result
        if row.act == "edit":
            return format_html("revision {}", said.get("revision", ""))
        rows = ((key, value if isinstance(value, str | int) else json.dumps(value)) for key, value in said.items())
        return format_html_join("", "<div>{}: {}</div>", rows)

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerEntry]:
        """Without the ids of a thousand items in every row of the list."""
        rows: QuerySet[LedgerEntry] = super().get_queryset(request)
        return rows.defer("result")
