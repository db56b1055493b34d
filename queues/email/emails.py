"""The way into the e-mail queue: `emails.enqueue(...)` stores a mail inside the caller's transaction."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models.base import ModelState
from django.utils import timezone

from queues.email import addresses, headers, mail, types
from queues.email.drafts import ATTACHMENTS_MAX_BYTES as ATTACHMENTS_MAX_BYTES
from queues.email.drafts import BODY_MAX_CHARACTERS as BODY_MAX_CHARACTERS
from queues.email.drafts import Draft as Draft
from queues.email.drafts import Invalid as Invalid
from queues.email.drafts import finish, key_of
from queues.email.mail import File, Mail
from queues.email.models import Attachment, AttachmentUse, EmailMessage
from queues.engine import enqueue as rows
from queues.engine import wake
from queues.engine.states import Status

QUEUE = "email"


class KeyConflict(ValueError):
    """The idempotency key was used before for a mail with other content. Nothing was stored."""


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
        self.keys = [key_of(draft) for draft in drafts]
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
            finished = finish(self.drafts[place], self.keys[place])
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
