"""One-click unsubscription (RFC 8058): the headers of bulk mail, the signed link in them, and what following it does.

The link names one address and one e-mail type and is its own authority: no log-in, no cookie, no CSRF token. It never
expires, for people follow links in old mail; a look at it (GET, a scanner's prefetch) changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from django.conf import settings
from django.core import signing

from queues.email import suppressions, types
from queues.email.models import EmailMessage, Suppression

SALT = "queues.email.unsubscribe"
TOKEN_MAX = 1000


class BadToken(ValueError):
    """The link was not made by us, or was damaged on its way."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link stands for: mail `message_id` of type `kind` that went to `address`."""

    address: str
    kind: str
    message_id: int | None


def headers_for(message: EmailMessage) -> tuple[tuple[str, str], ...]:
    """The two headers of a mail of a bulk type, none for others.

    None either for a mail to several: they all get the same headers, and nobody may unsubscribe a neighbour.
    """
    if not types.get(message.kind).bulk or len(message.recipients) != 1:
        return ()
    url = url_for(Link(address=message.recipients[0], kind=message.kind, message_id=message.pk))
    return (("List-Unsubscribe", f"<{url}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))


def url_for(link: Link) -> str:
    """The absolute address of the page that unsubscribes it (RFC 8058 section 3.1: https, so BASE_URL should be)."""
    packed = json.dumps([link.address, link.kind, link.message_id], separators=(",", ":"), ensure_ascii=False)
    value = base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")
    return f"{settings.BASE_URL}/unsubscribe/{_signer().sign(value)}/"


def read(token: str) -> Link:
    """What the token in a link stands for. Raises BadToken."""
    try:
        if len(token) > TOKEN_MAX:
            raise BadToken("too long")
        value = _signer().unsign(token)
        packed = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        address, kind, message_id = json.loads(packed)
    except (signing.BadSignature, binascii.Error, UnicodeError, ValueError) as error:
        raise BadToken(str(error)) from error
    return Link(address=address, kind=kind, message_id=message_id)


def unsubscribe(link: Link, *, everything: bool = False) -> None:
    """Stop mail of the link's type to its address, with `everything` all bulk mail. Safe to repeat."""
    suppressions.suppress(
        address=link.address,
        cause=Suppression.Cause.UNSUBSCRIBE,
        scope=suppressions.BULK if everything else link.kind,
        words="Unsubscribed by the link in the mail.",
        message_id=link.message_id,
    )


def _signer() -> signing.Signer:
    # "." and not Django's ":": some mail programs end a link at a colon
    return signing.Signer(salt=SALT, sep=".")
