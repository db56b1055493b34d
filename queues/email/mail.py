"""A mail as a value: what `mime.build` makes bytes of and a transport sends; `validate` says what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from queues.email import addresses

SUBJECT_MAX = 1000
HEADER_NAME_MAX = 76
HEADER_WORD_MAX = 900
"""Characters without a space in a header's value: a line must stay under 998 octets (RFC 5322 section 2.1.1)."""
FILE_NAME_MAX = 255
RECIPIENTS_MAX = 1000
"""Of one mail; a server need not take more than 100 at once (RFC 5321 section 4.5.3.1.8), most stop at 1000 or less."""

OWN_HEADERS = frozenset(
    {"from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version", "return-path", "received"}
    | {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
)
"""Written by the builder or by servers: not for a mail's `headers`."""

MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")
HEADER_NAME = re.compile(r"[!-9;-~]+")
CONTENT_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*"
    r"(?:; ?[A-Za-z0-9!#$&^_.+-]+=(?:[A-Za-z0-9!#$&^_.+:-]+|\"[ !#-\[\]-~]*\"))*"
)
CONTENT_ID = re.compile(r"[!-;=?-~]+")
_LINE_BREAKING = re.compile(r"[\r\n\x00]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class File:
    """An attachment, or with a `content_id` an inline image that the HTML calls `cid:<content_id>`."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """Everything that is said to the recipients; addresses as in a header (`Anna <anna@example.com>`), one a string."""

    message_id: str
    """`<…@domain>`, fixed when the mail is enqueued, so that every copy carries the same."""
    date: datetime
    subject: str
    from_email: str
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    """Recipients that no header names."""
    reply_to: tuple[str, ...] = ()
    text: str = ""
    html: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[File, ...] = ()
    only: tuple[str, ...] = ()
    """If given, the only recipients this copy goes to (the others got theirs); the headers name all the same."""

    def recipients(self) -> list[str]:
        """The envelope's addresses, each once (whatever its case), in the order to, cc, bcc. Raises ValueError."""
        if self.only:
            return list(self.only)
        found: dict[str, str] = {}
        for header in (*self.to, *self.cc, *self.bcc):
            address = addresses.split(header)[1]
            found.setdefault(address.lower(), address)
        return list(found.values())


def validate(mail: Mail) -> None:
    """Raise ValueError with the field and the reason if this mail cannot be built or must not be sent as it is."""
    if not MESSAGE_ID.fullmatch(mail.message_id) or len(mail.message_id) > HEADER_WORD_MAX:
        raise ValueError("message_id: not of the form <…@domain>")
    if mail.date.tzinfo is None:
        raise ValueError("date: without a time zone")
    if len(mail.subject) > SUBJECT_MAX:
        raise ValueError(f"subject: longer than {SUBJECT_MAX} characters")
    if _LINE_BREAKING.search(mail.subject):
        raise ValueError("subject: a line break or NUL in it")
    _check_addresses(mail)
    for name, value in mail.headers:
        _check_header(name, value)
    for file in mail.attachments:
        _check_file(file)


def _check_addresses(mail: Mail) -> None:
    for field, headers in (
        ("from_email", (mail.from_email,)),
        ("to", mail.to),
        ("cc", mail.cc),
        ("bcc", mail.bcc),
        ("reply_to", mail.reply_to),
    ):
        for header in headers:
            try:
                addresses.normalize(header)
            except ValueError as error:
                raise ValueError(f"{field}: {error}") from None
    count = len(mail.to) + len(mail.cc) + len(mail.bcc)
    if not count:
        raise ValueError("to: no recipient")
    if count > RECIPIENTS_MAX:
        raise ValueError(f"to: more than {RECIPIENTS_MAX} recipients")


def _check_header(name: str, value: str) -> None:
    if not HEADER_NAME.fullmatch(name) or len(name) > HEADER_NAME_MAX:
        raise ValueError("headers: a name is made of printable ASCII without space and colon")
    if name.lower() in OWN_HEADERS:
        raise ValueError(f"headers: {name} is not set this way")
    if _LINE_BREAKING.search(value):
        raise ValueError(f"headers: a line break or NUL in {name}")
    if value.isascii() and len(value) > HEADER_WORD_MAX and max(map(len, value.split(" "))) > HEADER_WORD_MAX:
        raise ValueError(f"headers: more than {HEADER_WORD_MAX} characters without a space in {name}")


def _check_file(file: File) -> None:
    if _CONTROL.search(file.name):
        raise ValueError("attachments: control character in the name of a file")
    if len(file.name) > FILE_NAME_MAX:
        raise ValueError(f"attachments: name of a file longer than {FILE_NAME_MAX} characters")
    if not CONTENT_TYPE.fullmatch(file.content_type) or len(file.content_type) > FILE_NAME_MAX:
        raise ValueError(f"attachments: content type of {file.name!r} is not of the form type/subtype")
    if file.content_id and (not CONTENT_ID.fullmatch(file.content_id) or len(file.content_id) > FILE_NAME_MAX):
        raise ValueError(f"attachments: content id of {file.name!r} is not printable ASCII without brackets")
