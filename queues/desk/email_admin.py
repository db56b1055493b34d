"""The e-mail queue at the desk: its face, its list and item page, the preview of a mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.db.models.lookups import Exact
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET
from unfold.decorators import display

from queues.desk import faces, filters, grammar, json_tree, marks, preview, privacy, seek
from queues.desk.admin import QueueItemAdmin
from queues.desk.editor import Editor, Invalid
from queues.desk.timeline import Event
from queues.email import addresses, editing, emails, suppressions, types
from queues.email.models import EmailMessage

TEXT_SHOWN = 100_000
TRACKED = {
    "delivered": "good",
    "opened": "good",
    "clicked": "good",
    "bounced": "bad",
    "complained": "bad",
    "rejected": "bad",
    "failed": "bad",
    "deferred": "warning",
    "unsubscribed": "warning",
}


def find(text: str) -> Q | None:
    """An exact recipient (any of the mail's), Message-ID or provider's id."""
    named = Q(message_id=text if text.startswith("<") else f"<{text}>")
    # Said as the partial index says it, or SQLite does not see that it may use it.
    named |= Q(provider_id=text) & ~Q(provider_id="")
    try:
        return named | _to(addresses.normalize(text))
    except ValueError:
        return named


def _to(address: str) -> Q:
    return Q(recipient=address) | Q(seek.AmongRecipients(address))


def to(word: grammar.Word, _now: datetime) -> Q:
    """An exact address, whichever recipient it is; or of the first its domain (`*@example.com`), or a part of it."""
    if word.before and not word.behind and word.text.startswith("@") and word.text.count("@") == 1:
        return Q(Exact(seek.Domain(), word.text[1:].casefold()))
    if word.before or word.behind:
        return filters.matches("recipient", replace(word, text=word.text.casefold()))
    return _to(addresses.normalize(word.text))


def unrunnable(item: Any) -> str:
    """A mail whose text was removed after its time cannot be sent again."""
    return "its text was removed after its time" if item.bodies_removed_at else ""


def stopped(item: Any, now: datetime) -> str:
    """The suppressed address, if every recipient of the mail is."""
    kind = types.get(item.kind)
    blocks = suppressions.blocked(item.recipients, now=now)
    held = [
        address
        for address in item.recipients
        if any(suppressions.applies(block, kind) for block in blocks.get(address, []))
    ]
    return held[0] if held and len(held) == len(item.recipients) else ""


def carried(item: Any) -> dict[str, Any]:
    """What the mail says, for programs that may see it."""
    return {name: getattr(item, name) for name in ("text", "html", "context", "headers", "metadata")}


def edited(item: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that differ with these changes. Raises `editor.Invalid`."""
    try:
        return editing.columns(item, changes)
    except emails.Invalid as error:
        raise Invalid(error.field, error.reason) from error


FACE = faces.Face(
    queue=emails.QUEUE,
    model=EmailMessage,
    title=lambda item: getattr(item, "recipient", ""),
    find=find,
    find_help="A filter like error:timeout age>1h, or an exact recipient, Message-ID, key or id",
    fields=(
        filters.Field(name="to", example="to:*@example.com", stars=True, rows=to),
        filters.text("template", "template", "template:receipt/*"),
        filters.text("provider", "provider", "provider:smtp*"),
    ),
    listed=("subject",),
    known_types=lambda: sorted(types._types),
    words={"succeeded": "Sent"},
    unrunnable=unrunnable,
    stopped=stopped,
    contents=carried,
    editor=Editor(
        fields=editing.FIELDS,
        columns=edited,
        hidden=editing.CONTENTS,
        shown=(*editing.FIELDS, "text", "html"),
    ),
)
faces.register(FACE)


@admin.register(EmailMessage)
class EmailMessageAdmin(QueueItemAdmin):
    """Mails: to whom, about what, and what became of them."""

    list_display = ("badge", "title", "about", "kind", "tries", "cause", "due", "created")
    item_template = "desk/email.html"

    @display(description="to")
    def title(self, item: EmailMessage) -> str:
        """The first recipient."""
        return item.recipient

    @display(description="subject")
    def about(self, item: EmailMessage) -> SafeString:
        """The subject, and the furthest the provider reported."""
        reported = marks.badge(TRACKED.get(item.tracked, "note"), item.tracked.capitalize()) if item.tracked else ""
        return format_html('<span class="subject">{}</span> {}', item.subject[:120], reported)

    def further_urls(self) -> list[URLPattern]:
        """The preview."""
        view = self.admin_site.admin_view(require_GET(self.preview_view))
        return [path("<int:item_id>/preview/", view, name=f"{self._base}_preview")]

    def preview_view(self, request: HttpRequest, item_id: int) -> HttpResponse:
        """The HTML part, for the frame on the item's page."""
        mail: EmailMessage = self.found(request, item_id)
        if not self.sees(request, mail):
            raise PermissionDenied  # asked for and recorded on the item's page first
        files = mail.files.exclude(content_id="").select_related("attachment")
        images = ((file.content_id, file.content_type, bytes(file.attachment.content)) for file in files)
        return preview.page(mail.html, images=images)

    def details(self, item: EmailMessage) -> list[tuple[str, Any]]:
        """Who, what, and through whom."""
        people = [("To", item.to), ("Cc", item.cc), ("Bcc", item.bcc), ("Reply to", item.reply_to)]
        refused = "; ".join(f"{address}: {words}" for address, words in (item.refused or {}).items())
        facts: list[tuple[str, Any]] = [
            ("Subject", item.subject),
            ("From", item.from_email),
            *((label, ", ".join(map(str, value))) for label, value in people),
            ("Refused", refused),
            ("Reported", marks.badge(TRACKED.get(item.tracked, "note"), item.tracked) if item.tracked else ""),
            ("Provider", f"{item.provider} {item.provider_id}".strip()),
            ("Message-ID", item.message_id),
            ("Template", item.template),
            ("Tags", ", ".join(map(str, item.tags or []))),
        ]
        return [(label, value) for label, value in facts if value]

    def reported(self, item: EmailMessage) -> list[Event]:
        """What the provider reported of it."""
        return [
            Event(
                at=event.at,
                shape=TRACKED.get(event.kind, "note"),
                title=f"{event.kind.capitalize()} (reported by {event.provider})",
                words=event.words,
                facts=(event.recipient,) if event.recipient else (),
            )
            for event in item.tracking.order_by("-at")[:200]
        ]

    def contents(self, request: HttpRequest, item: EmailMessage) -> dict[str, Any]:
        """The files' names; and for who asked to see it: text, headers, the template's context, the preview."""
        files = list(item.files.select_related("attachment").defer("attachment__content"))
        if not self.sees(request, item):
            return {"files": files}
        kept = urlencode({privacy.PARAMETER: request.GET[privacy.PARAMETER]})
        return {
            "preview_url": f"{self.address('preview', item.pk)}?{kept}" if item.html else "",
            "text": item.text[:TEXT_SHOWN],
            "text_cut": len(item.text) > TEXT_SHOWN,
            "files": files,
            "headers": item.headers,
            "metadata": item.metadata,
            "tree": json_tree.draw(item.context) if item.context else "",
        }
