"""The way into the e-mail queue: `emails.enqueue(...)` stores a mail inside the caller's transaction."""

from __future__ import annotations

import functools
import hashlib
import json
import mimetypes
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import router, transaction
from django.db.models.base import ModelState
from django.utils import timezone

from queues.email import addresses, headers, mail, plain, rendering, types
from queues.email.mail import File, Mail
from queues.email.models import Attachment, AttachmentUse, EmailMessage
from queues.engine import enqueue as rows
from queues.engine import item, wake
from queues.engine.states import Priority, Status

QUEUE = "email"
ATTACHMENTS_MAX_BYTES = 10 * 1024 * 1024
"""Of one mail, all files together, before base64; most providers stop at 10 to 25 MB."""
BODY_MAX_CHARACTERS = 5_000_000
KEY_MAX = 255


class Invalid(ValueError):
    """The mail cannot be sent as it is; `field` says what is wrong with which part. Nothing was stored."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class KeyConflict(ValueError):
    """The idempotency key was used before for a mail with other content. Nothing was stored."""


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


def enqueue(*, now: datetime | None = None, **wished: Any) -> EmailMessage:
    """Store one mail (the fields of `Draft`) and hint to the workers once the caller's transaction has committed.

    A repeated idempotency key gives the row of the first call, with `repeated = True` on the instance.
    Raises Invalid or KeyConflict; nothing is stored then.
    """
    return enqueue_many([Draft(**wished)], now=now)[0]


def enqueue_many(drafts: Sequence[Draft], *, now: datetime | None = None) -> list[EmailMessage]:
    """Store many mails in a few statements, all or none of them; in order. See `enqueue`."""
    now = now or timezone.now()
    values = _Rows(drafts, now)
    keyed = any(draft.idempotency_key for draft in drafts)
    if (keyed and len(drafts) > 1) or any(draft.attachments for draft in drafts):
        with transaction.atomic(using=router.db_for_write(EmailMessage)):
            return _store(values, now)
    return _store(values, now)


class _Rows(Sequence[dict[str, Any]]):
    """The rows of drafts, each made and checked when it is asked for first. Raises Invalid then."""

    def __init__(self, drafts: Sequence[Draft], now: datetime) -> None:
        self.keys = [_key(draft) for draft in drafts]
        self.drafts = drafts
        self.now = now
        self.files: dict[int, Draft] = {}
        self._made: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.drafts)

    def __getitem__(self, place: Any) -> Any:
        made = self._made.get(place)
        if made is None:
            if place >= len(self.drafts):
                raise IndexError(place)
            finished = _finish(self.drafts[place], self.keys[place])
            made = self._made[place] = _row(finished, self.now)
            if finished.attachments:
                self.files[place] = finished
        return made


def _store(values: _Rows, now: datetime) -> list[EmailMessage]:
    entries = rows.insert(QUEUE, EmailMessage, values, keys=values.keys)
    messages = []
    fresh: list[tuple[EmailMessage, Draft]] = []
    for place, (row, entry) in enumerate(zip(values, entries, strict=True)):
        if entry.repeated and entry.content_hash != row["content_hash"]:
            raise KeyConflict(f"the idempotency key {row['idempotency_key']!r} was used before for another mail")
        message = _message(row, entry)
        messages.append(message)
        if not entry.repeated and place in values.files:
            fresh.append((message, values.files[place]))
    _store_files(fresh, now)
    wake.soon(QUEUE)
    return messages


def _key(draft: Draft) -> str:
    if len(draft.idempotency_key) > KEY_MAX or draft.idempotency_key.startswith("auto:"):
        raise Invalid("idempotency_key", f"at most {KEY_MAX} characters, and not beginning with auto:")
    return headers.clean(draft.idempotency_key or item.fresh_key()).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _finish(draft: Draft, key: str) -> Draft:
    """What the sender left to us: the template rendered, the text made from the HTML, bad characters replaced."""
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
        _check_json(name, getattr(draft, name))
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


def _row(draft: Draft, now: datetime) -> dict[str, Any]:
    kind = types.get(draft.email_type)
    built = as_mail(draft, date=now)
    try:
        mail.validate(built)
        recipients = [addresses.normalize(each) for each in (*draft.to, *draft.cc, *draft.bcc)]
    except ValueError as error:
        name, _, reason = str(error).partition(": ")
        raise Invalid(name, reason) from error
    recipients = list(dict.fromkeys(recipients))
    expires_at = draft.expires_at or (kind.expires_after and (draft.send_at or now) + kind.expires_after) or None
    row: dict[str, Any] = {
        "kind": draft.email_type,
        "priority": kind.priority if draft.priority is None else draft.priority,
        "idempotency_key": draft.idempotency_key,
        "content_hash": "",
        "created_at": now,
        "due_at": max(draft.send_at or now, now),
        "first_due_at": draft.send_at if draft.send_at and draft.send_at > now else None,
        "expires_at": expires_at,
        "max_retries": draft.max_retries,
        "from_email": draft.from_email,
        "to": list(draft.to),
        "cc": list(draft.cc),
        "bcc": list(draft.bcc),
        "reply_to": list(draft.reply_to),
        "recipients": recipients,
        "recipient": recipients[0],
        "subject": headers.clean(draft.subject),
        "text": draft.text,
        "html": draft.html,
        "headers": [list(pair) for pair in draft.headers],
        "attachment_count": len(draft.attachments),
        "template": draft.template,
        "context": draft.context,
        "metadata": dict(draft.metadata),
        "tags": list(draft.tags),
        "message_id": draft.message_id,
    }
    if not draft.idempotency_key.startswith("auto:"):
        row["content_hash"] = _content_hash(row, draft.attachments)
    return row


def as_mail(draft: Draft, *, date: datetime) -> Mail:
    """The draft as the value that is validated and built."""
    return Mail(
        message_id=draft.message_id,
        date=date,
        subject=headers.clean(draft.subject),
        from_email=draft.from_email,
        to=tuple(draft.to),
        cc=tuple(draft.cc),
        bcc=tuple(draft.bcc),
        reply_to=tuple(draft.reply_to),
        text=draft.text,
        html=draft.html,
        headers=tuple((name, value) for name, value in draft.headers),
        attachments=tuple(draft.attachments),
    )


CONTENT = [
    "kind",
    "from_email",
    "to",
    "cc",
    "bcc",
    "reply_to",
    "headers",
    "template",
    "context",
    "metadata",
    "tags",
]
"""What, with subject and bodies, "the same mail" means for a repeated key; when it is sent, and how often it is tried,
is not content."""


CANONICAL = json.JSONEncoder(sort_keys=True, default=str)


def _content_hash(row: Mapping[str, Any], files: Sequence[File]) -> str:
    small = [row[name] for name in CONTENT] + [[each.name, _digest(each.content)] for each in files]
    large = (row["subject"], row["text"], row["html"])
    digest = hashlib.blake2b(CANONICAL.encode([small, *map(len, large)]).encode(), digest_size=32)
    for each in large:
        digest.update(each.encode())
    return digest.hexdigest()


def _message(row: Mapping[str, Any], entry: rows.Entry) -> EmailMessage:
    if entry.repeated and not entry.buried:
        message = EmailMessage.objects.get(pk=entry.item_id)
    else:
        defaults = _blank()
        given = {**row, "id": entry.item_id, "status": entry.buried or Status.PENDING.value}
        # As `from_db` would make it, in a tenth of the time: thousands at once are made here.
        message = EmailMessage.__new__(EmailMessage)
        message._state = ModelState()
        message._state.adding = False
        message._state.db = router.db_for_write(EmailMessage)
        message.__dict__.update(defaults | given)
    message.repeated = entry.repeated
    return message


@functools.cache
def _blank() -> dict[str, Any]:
    """The values of a new row (the mutable ones are always given)."""
    fresh = EmailMessage()
    return {each.attname: getattr(fresh, each.attname) for each in EmailMessage._meta.concrete_fields}


def _store_files(messages: Sequence[tuple[EmailMessage, Draft]], now: datetime) -> None:
    """Each file's bytes once, by their hash, and its use by each mail."""
    if not messages:
        return
    files = {_digest(each.content): each.content for _, draft in messages for each in draft.attachments}
    Attachment.objects.bulk_create(
        [Attachment(sha256=sha, content=content, size=len(content)) for sha, content in sorted(files.items())],
        update_conflicts=True,  # a lock on the row, so that the pruning of unused files waits for us
        unique_fields=["sha256"],
        update_fields=["created_at"],
    )
    AttachmentUse.objects.bulk_create(
        AttachmentUse(
            message=message,
            attachment_id=_digest(each.content),
            position=position,
            name=each.name,
            content_type=each.content_type,
            content_id=each.content_id,
        )
        for message, draft in messages
        for position, each in enumerate(draft.attachments)
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_json(name: str, value: Any) -> None:
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
