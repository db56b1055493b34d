"""EMAIL_DELIVERY_URL as transports, in order of failover.

    smtp://user:password@host:587          with STARTTLS where there is a password; ?tls=1 always, ?tls=0 never
    smtps://user:password@host             TLS from the first byte, port 465
    resend://key  postmark://token  …      through Anymail: anymail_transport.PROVIDERS
    mailgun://key@sender-domain            options as ?api_url=https%3A%2F%2Fapi.eu.mailgun.net%2Fv3
    ses://key-id:secret@region             credentials from the environment where the URL has none
    console://                             prints the mail

SMTP options: connect, command, after_data (seconds), mails (a connection), ehlo, ca (a PEM file). Characters that mean
something in URLs are percent-encoded, as everywhere: `@` is `%40`, `,` is `%2C`.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from queues.email import mime
from queues.email.anymail_transport import PROVIDERS, AnymailTransport
from queues.email.mail import Mail
from queues.email.receipt import Receipt
from queues.email.smtp import SmtpConnection
from queues.email.smtp_connect import Server
from queues.engine import outcomes

_COMMA = re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_SECONDS = {"connect": "connect_seconds", "command": "command_seconds", "after_data": "after_data_seconds"}


class Connection(Protocol):
    """Carries one mail after the other, for one thread."""

    def send(
        self, mail: Mail, *, key: str = "", metadata: Mapping[str, str] | None = None, tags: Sequence[str] = ()
    ) -> Receipt:
        """Hand over, or raise an outcome (queues.engine.outcomes; classify draws the tree)."""
        ...

    def close(self) -> None: ...


class Transport(Protocol):
    """A way out."""

    @property
    def name(self) -> str:
        """Shown to staff, and the breaker's key; no secret in it."""
        ...

    @property
    def keyed(self) -> bool:
        """Whether the other side deduplicates by `key`, so that an uncertain mail may be sent again at once."""
        ...

    def open(self) -> Connection:
        """A connection; nothing is sent before its first `send`."""
        ...


@dataclass(frozen=True, slots=True)
class SmtpTransport:
    server: Server
    keyed: bool = False

    @property
    def name(self) -> str:
        return f"smtp:{self.server.host}:{self.server.port}"

    def open(self) -> SmtpConnection:
        return SmtpConnection(self.server)


@dataclass(frozen=True, slots=True)
class ConsoleTransport:
    name: str = "console"
    keyed: bool = False

    def open(self) -> ConsoleConnection:
        return ConsoleConnection()


class ConsoleConnection:
    def send(
        self, mail: Mail, *, key: str = "", metadata: Mapping[str, str] | None = None, tags: Sequence[str] = ()
    ) -> Receipt:
        try:
            content = mime.build(mail)
        except ValueError as error:
            raise outcomes.Permanent(f"cannot be built: {error}", code="unbuildable") from error
        sys.stdout.write(content.decode("utf-8", "replace").replace("\r\n", "\n") + "-" * 79 + "\n")
        sys.stdout.flush()
        return Receipt("printed")

    def close(self) -> None:
        """Nothing to close."""


def parse(urls: str) -> tuple[Transport, ...]:
    """The transports of a comma list, in order of failover; an empty string gives none.

    Raises ValueError that says which of them is wrong and why, without the secrets in it.
    """
    pieces = [piece for piece in _COMMA.split(urls.strip()) if piece]
    return tuple(_parse_one(piece.strip(), number) for number, piece in enumerate(pieces, start=1))


def configured() -> tuple[Transport, ...]:
    """The ways out that the settings name, in order of failover. Raises ValueError as `parse` does."""
    return _configured(",".join(settings.EMAIL_DELIVERY_URL))


@functools.lru_cache(maxsize=4)
def _configured(urls: str) -> tuple[Transport, ...]:
    return parse(urls)


def _parse_one(url: str, number: int) -> Transport:
    # what urlsplit and int say contains the URL, and the URL the password: no message of theirs leaves here
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        port = parts.port if scheme in {"smtp", "smtps"} else None
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(f"transport {number}: not a URL") from None
    try:
        if parts.fragment or parts.path not in {"", "/"}:
            raise ValueError("a # or / in it that is not percent-encoded")
        options = dict(pairs)
        if len(options) < len(pairs):
            raise ValueError("an option is given twice")
        user, password, host = unquote(parts.username or ""), unquote(parts.password or ""), parts.hostname or ""
        if scheme in {"smtp", "smtps"}:
            return _smtp(scheme, host, port, user, password, options)
        if scheme == "console":
            if parts.netloc or options:
                raise ValueError("console takes nothing more")
            return ConsoleTransport()
        if scheme in PROVIDERS:
            # urlsplit lower-cases the host, and in resend://key the key stands there
            return _provider(scheme, parts.netloc, options)
        raise ValueError(f"unknown scheme {scheme!r}" if "://" in url else "not a URL")
    except ValueError as error:
        raise ValueError(f"transport {number}: {error}") from None


def _smtp(scheme: str, host: str, port: int | None, user: str, password: str, options: dict[str, str]) -> SmtpTransport:
    if not re.fullmatch(r"[\w.:-]+", host):
        raise ValueError("no host" if not host else "not a host name")
    if not (user.isascii() and password.isascii()):
        raise ValueError("user and password must be ASCII")
    if bool(user) != bool(password):
        raise ValueError("user and password go together")
    implicit = scheme == "smtps"
    loopback = host in {"localhost", "::1"} or host.startswith("127.")
    tls = options.pop("tls", "")
    if tls not in {"", "0", "1"} or (implicit and tls == "0"):
        raise ValueError("tls is 1 or 0")
    numbers: dict[str, float] = {}
    for name, target in _SECONDS.items():
        if name in options:
            numbers[target] = _number(name, options.pop(name), least=0.1, most=600)
    mails = int(_number("mails", options.pop("mails", "100"), least=1, most=1_000_000))
    ehlo, ca_file = options.pop("ehlo", ""), options.pop("ca", "")
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]*", ehlo):
        raise ValueError("ehlo is a host name")
    if options:
        raise ValueError(f"unknown option {min(options)!r}")
    return SmtpTransport(
        Server(
            host=host,
            port=port or (465 if implicit else 587 if user else 25),
            implicit_tls=implicit,
            starttls=not implicit and (tls == "1" or (tls == "" and bool(user) and not loopback)),
            user=user,
            password=password,
            max_mails=mails,
            ehlo=ehlo,
            ca_file=ca_file,
            **numbers,
        )
    )


def _number(name: str, value: str, *, least: float, most: float) -> float:
    if not re.fullmatch(r"\d{1,7}(\.\d{1,3})?", value) or not least <= float(value) <= most:
        raise ValueError(f"{name} is a number from {least:g} to {most:g}")
    return float(value)


def _provider(scheme: str, netloc: str, options: dict[str, str]) -> AnymailTransport:
    row = PROVIDERS[scheme]
    before, at, after = netloc.rpartition("@")
    user, _colon, password = (before if at else after).partition(":")
    host = after if at else ""
    unknown = set(options) - set(row.options) - set(row.needs)
    if unknown:
        raise ValueError(f"unknown option {min(unknown)!r}")
    given: dict[str, object] = dict(options)
    if scheme == "ses":
        given = _ses_options(options, user if at else "", password if at else "", host or after)
    else:
        for name, value in ((row.user, user), (row.second, password), (row.host, host)):
            if name and value:
                given[name] = unquote(value)
        if (password and not row.second) or (host and not row.host):
            raise ValueError(f"more in the URL than {scheme} takes")
        missing = [name for name in (row.user, *row.needs) if not given.get(name)]
        if missing:
            raise ValueError(f"{scheme} needs {missing[0]}")
    transport = AnymailTransport(scheme, given)
    try:
        transport.check()
    except ImportError:
        raise ValueError(
            f"{scheme} needs a package that is not installed (django-anymail[{row.backend.replace('_', '-')}])"
        ) from None
    except ImproperlyConfigured:
        raise ValueError(f"{scheme}: an option is missing or wrong") from None
    return transport


def _ses_options(options: dict[str, str], key_id: str, secret: str, region: str) -> dict[str, object]:
    client: dict[str, object] = {}
    if region or options.get("region"):
        client["region_name"] = region or options["region"]
    if key_id:
        client |= {"aws_access_key_id": unquote(key_id), "aws_secret_access_key": unquote(secret)}
    rest: dict[str, object] = {name: value for name, value in options.items() if name != "region"}
    return {**rest, "client_params": client}
