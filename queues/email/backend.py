"""Django's mailer that queues: `send_mail` and `EmailMessage.send` store a row in the caller's transaction."""

from __future__ import annotations

import email.message
from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailAttachment
from django.core.mail import EmailMessage as DjangoMessage
from django.core.mail.backends.base import BaseEmailBackend

from queues.email import emails
from queues.email.mail import MESSAGE_ID, File

OURS = {"x-email-type": "email_type", "x-idempotency-key": "idempotency_key"}
"""Headers that speak to the queue and are not sent; attributes of the message of the same names do as well."""
ATTRIBUTES = ("email_type", "idempotency_key", "metadata", "tags", "priority", "send_at", "expires_at", "max_retries")
"""What a message may carry as plain attributes (Anymail's `metadata`, `tags`, `send_at` among them)."""
NOT_HEADERS = {"from", "to", "cc", "reply-to", "date", "message-id", *OURS}


class QueueBackend(BaseEmailBackend):
    """`MAILERS["default"]`. Raises `emails.Invalid` for a mail that could never be sent; nothing is stored then."""

    def send_messages(self, email_messages: Sequence[DjangoMessage]) -> int:
        """Store them all or none; returns how many."""
        drafts = [_draft(message) for message in email_messages if message.recipients()]
        emails.enqueue_many(drafts)
        return len(drafts)


def _draft(message: DjangoMessage) -> emails.Draft:
    extra = {name.lower(): (name, str(value)) for name, value in message.extra_headers.items()}
    given: dict[str, Any] = {name: getattr(message, name) for name in ATTRIBUTES if getattr(message, name, None)}
    given |= {field: extra[header][1] for header, field in OURS.items() if header in extra}
    text, html, files = _bodies(message)
    own_id = extra.get("message-id", ("", ""))[1]
    return emails.Draft(
        subject=str(message.subject),
        text=text,
        html=html,
        from_email=extra.get("from", ("", str(message.from_email)))[1],
        to=_addresses(message.to),
        cc=_addresses(message.cc),
        bcc=_addresses(message.bcc),
        reply_to=_addresses([extra["reply-to"][1]] if "reply-to" in extra else message.reply_to),
        headers=[pair for name, pair in extra.items() if name not in NOT_HEADERS],
        attachments=[*files, *(_file(each) for each in message.attachments)],
        message_id=own_id if MESSAGE_ID.fullmatch(own_id) else "",
        **given,
    )


def _addresses(listed: Sequence[Any]) -> list[str]:
    return [str(each) for each in listed if each]


def _bodies(message: DjangoMessage) -> tuple[str, str, list[File]]:
    """Text, HTML, and alternatives that are neither (a calendar entry), which go as files."""
    text, html, files = str(message.body), "", []
    if message.content_subtype == "html":
        text, html = "", text
    for content, mimetype in getattr(message, "alternatives", ()):
        if mimetype == "text/html" and not html:
            html = content.decode() if isinstance(content, bytes) else str(content)
        else:
            raw = content if isinstance(content, bytes) else str(content).encode()
            files.append(File("", f"{mimetype}; charset=utf-8" if mimetype.startswith("text/") else mimetype, raw))
    return text, html, files


def _file(attached: Any) -> File:
    if isinstance(attached, EmailAttachment | tuple):
        name, content, mimetype = attached
        if isinstance(content, DjangoMessage):
            content = content.message()
        if isinstance(content, email.message.Message):
            content = content.as_bytes()
        if isinstance(content, str):
            content = content.encode()
            mimetype = f"{mimetype}; charset=utf-8" if mimetype and mimetype.startswith("text/") else mimetype
        return File(name or "", mimetype or "", bytes(content))
    content = attached.get_payload(decode=True)
    if content is None:  # a message inside the message
        content = b"".join(part.as_bytes() for part in attached.get_payload())
    content_id = str(attached.get("Content-ID", "")).strip(" <>")
    inline = attached.get_content_disposition() == "inline"
    return File(attached.get_filename() or "", attached.get_content_type(), content, content_id if inline else "")
