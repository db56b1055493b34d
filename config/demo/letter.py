"""Takes a caught mail apart for its page: headers, text, HTML with its inline images, attachments."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

SHOWN = ("From", "Sender", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "List-Unsubscribe")
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


@dataclass(frozen=True)
class Attachment:
    """A part that is neither the text nor the HTML."""

    name: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Letter:
    """A mail as its reader would see it."""

    headers: list[tuple[str, str]]
    text: str
    html: str
    attachments: list[Attachment]
    source: str


def read(raw: bytes) -> Letter:
    """Return the parts of a mail. Defects are shown, not raised: looking at odd mail is what the page is for."""
    message = message_from_bytes(raw, policy=policy.default)
    text, html, inline, attachments = "", "", dict[str, str](), list[Attachment]()
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        data = part.get_payload(decode=True) or b""
        data = data if isinstance(data, bytes) else b""
        loose = part.get_content_disposition() != "attachment"
        if loose and kind == "text/plain" and not text:
            text = _decoded(part, data)
        elif loose and kind == "text/html" and not html:
            html = _decoded(part, data)
        else:
            attachments.append(Attachment(part.get_filename() or "unnamed", kind, data))
            if kind in IMAGES and part["Content-ID"]:
                picture = f"data:{kind};base64,{base64.b64encode(data).decode()}"
                inline[str(part["Content-ID"]).strip().strip("<>")] = picture
    html = re.sub(r"cid:([^\"'\s>)]+)", lambda found: inline.get(found[1], found[0]), html)
    headers = [(name, str(value)) for name in SHOWN for value in message.get_all(name, [])]
    return Letter(headers, text, html, attachments, raw.decode("utf-8", "replace"))


def _decoded(part: EmailMessage, data: bytes) -> str:
    try:
        return data.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")
