"""Providers with an HTTP API, through Anymail's backends: one table of what each needs, one connection class.

A provider is added by a row in PROVIDERS; its backend, its errors and its tracking webhooks are Anymail's.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import MIMEPart
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

from anymail.exceptions import AnymailError
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives
from django.utils.module_loading import import_string

from queues.email import addresses, provider_errors
from queues.email.mail import File, Mail
from queues.email.receipt import Receipt
from queues.engine import outcomes

METADATA_KEY = "redrive_id"
"""Carries the Message-ID to the provider and back in its tracking events. Postmark takes names up to 20 characters."""
TIMEOUTS = (10.0, 30.0)
"""Seconds to connect, and for each read."""

_HEADER_KEY = re.compile(r"[A-Za-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True)
class Provider:
    """One row: the options of Anymail's backend that the parts of `name://user:second@host` are."""

    backend: str
    user: str
    second: str = ""
    host: str = ""
    needs: tuple[str, ...] = ()
    """Options that must be there beside the user."""
    options: tuple[str, ...] = ("api_url",)
    """Options that may be given as `?name=value`."""
    key: Literal["", "http", "brevo"] = ""
    """How the idempotency key travels."""
    deduplicates: bool = False
    """A repeated key is answered like the first one, for at least 24 hours."""
    one_tag: bool = False


PROVIDERS = {
    "brevo": Provider("brevo", "api_key", key="brevo"),
    "mailersend": Provider("mailersend", "api_token"),
    "mailgun": Provider("mailgun", "api_key", host="sender_domain"),
    "mailjet": Provider("mailjet", "api_key", second="secret_key", needs=("secret_key",), one_tag=True),
    "mailtrap": Provider("mailtrap", "api_token", options=("api_url", "sandbox_id"), one_tag=True),
    "mandrill": Provider("mandrill", "api_key"),
    "postal": Provider("postal", "api_key", needs=("api_url",), one_tag=True),
    "postmark": Provider("postmark", "server_token", options=("api_url", "message_stream"), one_tag=True),
    "resend": Provider("resend", "api_key", key="http", deduplicates=True),
    "scaleway": Provider(
        "scaleway", "secret_key", host="project_id", needs=("project_id",), options=("api_url", "region")
    ),
    "sendgrid": Provider("sendgrid", "api_key"),
    "ses": Provider("amazon_ses", "", options=("configuration_set_name", "message_tag_name", "region")),
    "sparkpost": Provider(
        "sparkpost", "api_key", options=("api_url", "subaccount"), key="http", deduplicates=True, one_tag=True
    ),
    "unisender-go": Provider("unisender_go", "api_key", needs=("api_url",)),
}


@dataclass(frozen=True)
class AnymailTransport:
    """A provider with its key. `name` is shown and stored; the options are secret."""

    provider: str
    options: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.provider

    @property
    def keyed(self) -> bool:
        """Whether the same mail sent twice with one key arrives once."""
        return PROVIDERS[self.provider].deduplicates

    @cached_property
    def _backend(self) -> Any:
        return import_string(f"anymail.backends.{PROVIDERS[self.provider].backend}.EmailBackend")

    def check(self) -> None:
        """Load the backend and give it its options. Raises whatever is missing (ImportError, ImproperlyConfigured)."""
        self.backend()

    def backend(self) -> Any:
        """A new instance of Anymail's backend."""
        extra = {} if self.provider == "ses" else {"timeout": TIMEOUTS}
        return self._backend(**self.options, **extra)

    def open(self) -> AnymailConnection:
        return AnymailConnection(self)


class AnymailConnection:
    """One HTTP session of one thread."""

    def __init__(self, transport: AnymailTransport) -> None:
        self.transport = transport
        self._backend: Any = None

    def send(
        self, mail: Mail, *, key: str = "", metadata: Mapping[str, str] | None = None, tags: Sequence[str] = ()
    ) -> Receipt:
        """Hand the mail over. Raises an outcome; a partial refusal is in the Receipt.

        `key` is the idempotency key, the same in every attempt for this mail; "" sends none.
        """
        provider = self.transport.provider
        row = PROVIDERS[provider]
        try:
            if self._backend is None:
                self._backend = self.transport.backend()
                self._backend.open()
            message = _message(mail)
            message.metadata = {**(metadata or {}), METADATA_KEY: mail.message_id}
            message.tags = list(tags[:1] if row.one_tag else tags)
            self._carry(key, message, how=row.key)
            sent = self._backend.send_messages([message])
        except (AnymailError, ImproperlyConfigured, ValueError, TypeError) as error:
            raise provider_errors.outcome(error, provider=provider) from error
        if not sent:
            raise outcomes.Cancel("a receiver of Anymail's pre_send signal stopped it", code="pre_send")
        return _receipt(message, provider)

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _carry(self, key: str, message: Any, *, how: str) -> None:
        """Put the idempotency key where this provider looks for it."""
        if how == "http":
            headers = self._backend.session.headers
            headers.pop("Idempotency-Key", None)
            if key:
                headers["Idempotency-Key"] = key if _HEADER_KEY.fullmatch(key) else sha256(key.encode()).hexdigest()
        elif how == "brevo" and key:
            message.extra_headers["idempotencyKey"] = str(uuid.uuid5(uuid.NAMESPACE_URL, key))


def _message(mail: Mail) -> Any:
    """The mail as Django's message, which Anymail's payloads are made from. Raises ValueError for a bad address."""
    html_only = bool(mail.html) and not mail.text
    message = EmailMultiAlternatives(
        subject=mail.subject,
        body=mail.html if html_only else mail.text,
        from_email=_quoted(mail.from_email),
        to=[_quoted(each) for each in mail.to if _goes_to(mail, each)],
        cc=[_quoted(each) for each in mail.cc if _goes_to(mail, each)],
        bcc=[_quoted(each) for each in mail.bcc if _goes_to(mail, each)],
        reply_to=[_quoted(each) for each in mail.reply_to],
        headers={**dict(mail.headers), "Message-ID": mail.message_id},
    )
    if html_only:
        message.content_subtype = "html"
    elif mail.html:
        message.attach_alternative(mail.html, "text/html")
    for file in mail.attachments:
        if file.content_id and mail.html:
            message.attach(_inline(file))
        else:
            message.attach(file.name, file.content, file.content_type)
    return message


def _goes_to(mail: Mail, header: str) -> bool:
    """A provider's envelope is its header: who gets no copy is not named."""
    return not mail.only or addresses.split(header)[1] in mail.only


def _inline(file: File) -> MIMEPart:
    part = MIMEPart()
    maintype, _slash, subtype = file.content_type.partition(";")[0].partition("/")
    part.set_content(
        file.content,
        maintype=maintype,
        subtype=subtype,
        disposition="inline",
        filename=file.name,
        cid=f"<{file.content_id}>",
    )
    return part


def _quoted(header: str) -> str:
    name, address = addresses.split(header)
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>' if name else address


def _receipt(message: Any, provider: str) -> Receipt:
    status = message.anymail_status
    ids = status.message_id if isinstance(status.message_id, set) else {status.message_id}
    known = sorted(str(each) for each in ids if each)
    refused = {}
    for address, each in status.recipients.items():
        if each.status == "invalid":
            refused[address] = (550, f"5.1.1 {provider}: invalid")
        elif each.status in {"rejected", "failed"}:
            refused[address] = (550, f"5.7.1 {provider}: {each.status}")
    said = ", ".join(sorted(str(each) for each in status.status or ()))
    return Receipt(f"{provider}: {said} {' '.join(known)}".rstrip(), known[0] if known else "", refused)
