"""`Draft`: a mail as its sender wishes it, made whole and checked before it becomes a row."""

from __future__ import annotations

import json
import mimetypes
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings

from queues.email import addresses, headers, plain, rendering
from queues.email.mail import File
from queues.engine import item
from queues.engine.states import Priority

ATTACHMENTS_MAX_BYTES = 10 * 1024 * 1024
"""Of one mail, all files together, before base64; most providers stop at 10 to 25 MB."""
BODY_MAX_CHARACTERS = 5_000_000
KEY_MAX = 255


class Invalid(ValueError):
    """The mail cannot be sent as it is; `field` says what is wrong with which part. Nothing was stored."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A mail as its sender wishes it. Addresses as in a header, one a string; times are aware datetimes."""

    to: Sequence[str] = ()
    subject: str = ""
    text: str = ""
    html: str = ""
    from_email: str = ""
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()
    attachments: Sequence[File] = ()
    """With a `content_id` an image inside the HTML; an empty `content_type` is guessed from the name."""
    template: str = ""
    """Name of a template; it gives subject, text and html, with `context`."""
    context: Mapping[str, Any] | None = None
    email_type: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    priority: int | None = None
    """A `Priority`; by default that of the type."""
    send_at: datetime | None = None
    expires_at: datetime | None = None
    idempotency_key: str = ""
    max_retries: int | None = None
    message_id: str = ""


def key_of(draft: Draft) -> str:
    """Its idempotency key as it is stored, a fresh one where it has none. Raises Invalid."""
    if len(draft.idempotency_key) > KEY_MAX or draft.idempotency_key.startswith("auto:"):
        raise Invalid("idempotency_key", f"at most {KEY_MAX} characters, and not beginning with auto:")
    return headers.clean(draft.idempotency_key or item.fresh_key()).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def finish(draft: Draft, key: str) -> Draft:
    """What the sender left to us: the template rendered, the text made from the HTML, bad characters replaced.

    Raises Invalid.
    """
    subject, text, html = draft.subject, draft.text, draft.html
    if draft.template:
        if subject or text or html:
            raise Invalid("template", "it gives subject and bodies: leave those empty")
        try:
            rendered = rendering.render(template=draft.template, context=draft.context or {})
        except ValueError as error:
            raise Invalid("template", str(error)) from error
        subject, text, html = rendered.subject, rendered.text, rendered.html
    if html and not text:
        text = plain.text_of(html)
    if len(text) > BODY_MAX_CHARACTERS or len(html) > BODY_MAX_CHARACTERS:
        raise Invalid("html" if html else "text", f"longer than {BODY_MAX_CHARACTERS:,} characters")
    files = tuple(
        each if each.content_type else replace(each, content_type=_guess(each.name)) for each in draft.attachments
    )
    if files and sum(len(each.content) for each in files) > ATTACHMENTS_MAX_BYTES:
        raise Invalid("attachments", f"more than {ATTACHMENTS_MAX_BYTES // 1024 // 1024} MB together")
    if len(draft.email_type) > 100:
        raise Invalid("email_type", "longer than 100 characters")
    if draft.priority is not None and draft.priority not in Priority.values:
        raise Invalid("priority", f"one of {', '.join(str(each.value) for each in Priority)}")
    if draft.max_retries is not None and not 0 <= draft.max_retries <= 100:
        raise Invalid("max_retries", "between 0 and 100")
    for name in ("metadata", "tags", "context"):
        check_json(name, getattr(draft, name))
    for name in ("send_at", "expires_at"):
        if (at := getattr(draft, name)) is not None and at.tzinfo is None:
            raise Invalid(name, "without a time zone")
    sender = draft.from_email or settings.DEFAULT_FROM_EMAIL
    return replace(
        draft,
        subject=subject,
        text=headers.clean(text).replace("\x00", "\N{REPLACEMENT CHARACTER}"),
        html=headers.clean(html).replace("\x00", "\N{REPLACEMENT CHARACTER}"),
        attachments=files,
        from_email=sender,
        idempotency_key=key,
        message_id=draft.message_id or f"<{secrets.token_hex(16)}@{_domain(sender)}>",
    )


def _domain(sender: str) -> str:
    try:
        return addresses.normalize(sender).rpartition("@")[2]
    except ValueError:  # `validate` will say so, with the field's name
        return "localhost"


def check_json(name: str, value: Any) -> None:
    """Raise Invalid for what no database stores as JSON."""
    if not value:
        return
    try:
        dumped = json.dumps(value, default=str)
        dumped.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(name, f"cannot be stored as JSON: {error}") from error
    if "\\u0000" in dumped or "\\ud8" in dumped.lower():
        _refuse_unstorable(name, value)


def _refuse_unstorable(name: str, value: Any) -> None:
    """PostgreSQL's jsonb takes neither NUL nor half a surrogate pair; a whole pair is fine."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    if "\\u0000" in text or headers.clean(text) != text:
        raise Invalid(name, "a NUL or half a character in it")


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
