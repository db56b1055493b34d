"""The push queue at the desk: its face, its list and item page, with what the device said."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from notifications import faces as drawn
from notifications import push
from notifications.models import PushDelivery
from notifications.sending import words
from queues.desk import faces, filters, grammar, listing, marks
from queues.desk.admin import QueueItemAdmin
from queues.desk.timeline import Event

NUMBER = re.compile(r"[0-9]{1,18}")


def find(text: str) -> Q | None:
    """The deliveries of one push, by its id."""
    try:
        return Q(push_id=uuid.UUID(text))
    except ValueError:
        return None


def of_device(word: grammar.Word, _now: datetime) -> Q:
    """Of one device, by its number."""
    if not NUMBER.fullmatch(word.text):
        raise ValueError("a device is named by its number")
    return Q(device=int(word.text))


def unrunnable(item: Any) -> str:
    """A push whose content was removed after its time cannot be sent again."""
    gone = not item.payload and item.purpose != PushDelivery.Purpose.VERIFY
    return "its content was removed after its time" if gone else ""


FACE = faces.Face(
    queue=push.QUEUE,
    model=PushDelivery,
    title=lambda item: f"Push {item.pk} to {getattr(item, 'user', None) or 'a deleted account'}",
    find=find,
    find_help="A filter like error:fcm* device:42 campaign:spring, or the exact id of a push, key or id",
    fields=(
        filters.Field(name="device", example="device:42", rows=of_device),
        filters.text("campaign", "campaign", "campaign:spring*"),
        filters.text("failed", "failed_reason", "failed:dead*"),
    ),
    listed=("payload",),
    words={"succeeded": "Accepted"},
    unrunnable=unrunnable,
    contents=lambda item: {"payload": item.payload},
)
faces.register(FACE)


class DeliveryList(listing.ItemList):
    """With the users and devices that it names, in the same query."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """The selection."""
        return super().get_queryset(request, exclude_parameters).select_related("user", "device__installation")


@admin.register(PushDelivery)
class PushDeliveryAdmin(QueueItemAdmin):
    """Pushes: to whom, on which device, and how far they came."""

    list_display = ("badge", "title", "about", "kind", "tries", "cause", "due", "created")
    item_template = "notifications/delivery.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[listing.ItemList]:
        """The one with names."""
        return DeliveryList

    @display(description="state")
    def badge(self, item: Any) -> SafeString:
        """How far it came; purged says so."""
        if item.hidden_at:
            return marks.badge("purged", f"Purged ({words.of(item).word})")
        return drawn.delivery(item)

    @display(description="to")
    def title(self, item: Any) -> str:
        """Whose device."""
        return str(item.user) if item.user is not None else "a deleted account"

    @display(description="push")
    def about(self, item: Any) -> SafeString:
        """What for, and by which way."""
        way = item.device.get_transport_display() if item.device is not None else ""
        purpose = "" if item.purpose == PushDelivery.Purpose.NOTIFY else item.get_purpose_display()
        signs = ", ".join(filter(None, (way, purpose, item.campaign)))
        return format_html('<span class="desk-quiet">{}</span>', signs or marks.nothing())

    def details(self, item: Any) -> list[tuple[str, Any]]:
        """Who, where, which way."""
        now, said = item.created_at, words.of(item)
        facts: list[tuple[str, Any]] = [
            ("Stands", str(said)),
            ("To", str(item.user or "")),
            ("Device", self._device(item)),
            ("Purpose", item.get_purpose_display()),
            ("Campaign", item.campaign),
            ("Urgent", "yes: passes quiet hours" if item.urgent else ""),
            ("Lane", item.lane_key),
            ("Accepted", marks.exactly(item.accepted_at, now=now) if item.accepted_at else ""),
            ("Delivered", marks.exactly(item.delivered_at, now=now) if item.delivered_at else ""),
            ("Opened", marks.exactly(item.opened_at, now=now) if item.opened_at else ""),
            ("Push service's id", item.provider_id),
            ("Push", self._others(item)),
            ("Collapse id", item.collapse_id),
        ]
        return [(label, value) for label, value in facts if value]

    def reported(self, item: Any) -> list[Event]:
        """What the device said itself."""
        said = (("Delivered", item.delivered_at), ("Opened", item.opened_at))
        return [Event(at=at, shape="good", title=f"{word} (the device's own word)") for word, at in said if at]

    def contents(self, request: HttpRequest, item: Any) -> dict[str, Any]:
        """Title, body, link, data, for who asked to see them."""
        if not (item.payload and self.sees(request, item)):
            return {"gone": bool(unrunnable(item))}
        payload = item.payload
        shown = [(name.capitalize(), payload.get(name, "")) for name in ("title", "body", "url")]
        shown += [(f"Data: {name}", value) for name, value in payload.get("data", {}).items()]
        return {"parts": [(name, value) for name, value in shown if value]}

    def _device(self, item: Any) -> SafeString | str:
        if item.device is None:
            return "deleted"
        address = reverse("admin:notifications_pushdevice_change", args=[item.device.pk])
        return format_html('<a class="desk-link" href="{}">{}</a>', address, item.device)

    def _others(self, item: Any) -> SafeString:
        """The push's id, as a link to all its deliveries."""
        address = self.address("changelist")
        return format_html('<a class="desk-link" href="{}?q={}">{}</a>', address, item.push_id, item.push_id)
