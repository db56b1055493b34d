"""The webhook queue at the desk: its face, its list and item page with the payload and the handlers that ran."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.decorators import display

from queues.desk import faces, filters, json_tree, marks, masking
from queues.desk.admin import QueueItemAdmin
from queues.desk.timeline import Event
from queues.webhooks import handlers, inbox, parsing
from queues.webhooks.models import HandlerRun, WebhookEvent

PAYLOAD_SHOWN = 100_000
TREE_MAX = 512 * 1024
"""Bytes of a payload that is drawn as a tree; a longer one is only shown as text."""
RELATED_SHOWN = 20


def find(text: str) -> Q | None:
    """An exact event id (`evt_…`), or the id of the object it is about (`ch_…`)."""
    # Said as the partial index says it, or SQLite does not see that it may use it.
    return Q(idempotency_key=inbox.key_of(text)) | Q(object_id=text) & ~Q(object_id="")


def unrunnable(item: Any) -> str:
    """An event whose payload was removed after its time cannot be handled again."""
    return "its payload was removed after its time" if item.payload_removed_at else ""


FACE = faces.Face(
    queue=inbox.QUEUE,
    model=WebhookEvent,
    title=lambda item: getattr(item, "event_id", ""),
    find=find,
    find_help="A filter like error:timeout type:charge.*, or an exact event id, object id, key or id",
    fields=(
        filters.text("object", "object_id", "object:ch_1AbC"),
        filters.text("account", "account", "account:acct_1AbC"),
        filters.text("source", "source", "source:swept"),
    ),
    known_types=handlers.all_types,
    words={"succeeded": "Processed"},
    unrunnable=unrunnable,
    contents=lambda item: {"payload": item.body},
)
faces.register(FACE)


@admin.register(WebhookEvent)
class WebhookEventAdmin(QueueItemAdmin):
    """Events: what happened at Stripe, and which of our handlers ran for it."""

    list_display = ("badge", "title", "kind", "about", "tries", "cause", "due", "created")
    item_template = "desk/webhook.html"

    @display(description="event")
    def title(self, item: WebhookEvent) -> str:
        """Stripe's id."""
        return item.event_id

    @display(description="object")
    def about(self, item: WebhookEvent) -> SafeString:
        """The object, and whether it is no plain live event of our own."""
        signs = [
            "" if item.livemode else "test",
            "thin" if item.thin else "",
            item.account,
            item.source if item.source != WebhookEvent.Source.RECEIVED else "",
        ]
        return format_html(
            '{} <span class="desk-quiet">{}</span>', item.object_id or marks.nothing(), ", ".join(filter(None, signs))
        )

    def details(self, item: WebhookEvent) -> list[tuple[str, Any]]:
        """What happened, where, and how we came to know."""
        now = item.created_at
        facts: list[tuple[str, Any]] = [
            ("Event", item.event_id),
            ("Snapshot", item.snapshot_event),
            ("Object", self._others(item)),
            ("Account", item.account),
            ("Mode", "live" if item.livemode else "test"),
            ("Shape", "thin: the object is fetched" if item.thin else f"snapshot, API version {item.api_version}"),
            ("Happened", marks.exactly(item.occurred_at, now=now)),
            ("Came to us", WebhookEvent.Source(item.source).label),
            ("Signed with", item.signed_with),
            ("Handlers", ", ".join(handler.name for handler in handlers.of_type(item.kind)) or "none for this type"),
        ]
        return [(label, value) for label, value in facts if value]

    def reported(self, item: WebhookEvent) -> list[Event]:
        """The handlers that ran."""
        runs = HandlerRun.objects.filter(provider=item.provider, event_id=item.effect_id)
        return [
            Event(
                at=run.ran_at,
                shape="good",
                title=f"Handler {run.handler} ran",
                facts=(f"version {run.version}", *(() if run.item_id == item.pk else (f"for webhook {run.item_id}",))),
            )
            for run in runs.order_by("ran_at")
        ]

    def contents(self, request: HttpRequest, item: Any) -> dict[str, Any]:
        """The payload as a tree, with personal data masked unless this person asked to see it; else as text."""
        found: dict[str, Any] = {"size": len(item.payload)}
        seen = self.sees(request, item)
        if len(item.payload) <= TREE_MAX:
            with contextlib.suppress(ValueError, RecursionError):
                value = parsing.storable(bytes(item.payload), json.loads(item.body))
                return found | {"tree": json_tree.draw(value if seen else masking.masked(value))}
        if not seen:
            return found
        return found | {"payload": item.body[:PAYLOAD_SHOWN], "payload_cut": len(item.body) > PAYLOAD_SHOWN}

    def _others(self, item: WebhookEvent) -> SafeString | str:
        """The object's id, as a link to all events about it."""
        if not item.object_id:
            return ""
        path = reverse(f"{self.admin_site.name}:{self._base}_changelist")
        return format_html(
            '<a class="desk-link" href="{}?{}">{}</a>', path, urlencode({"q": item.object_id}), item.object_id
        )
