"""An SMTP connection up to the point where mails can be sent: connected, encrypted, logged in; or TransportDown."""

from __future__ import annotations

import functools
import smtplib
import socket
import ssl
from dataclasses import dataclass, field

from django.core.mail import DNS_NAME

from queues.email import classify


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect and how; made by transports.parse."""

    host: str
    port: int
    implicit_tls: bool = False
    starttls: bool = False
    """Insist on STARTTLS and a good certificate."""
    user: str = ""
    password: str = field(default="", repr=False)
    connect_seconds: float = 10.0
    command_seconds: float = 15.0
    after_data_seconds: float = 30.0
    max_mails: int = 100
    """After so many mails a connection is replaced; servers count, too."""
    ehlo: str = ""
    ca_file: str = ""


def connect(server: Server) -> smtplib.SMTP:
    """A connection that has been greeted, encrypted and logged in as the server wants it. Raises TransportDown."""
    smtp = None
    try:
        smtp = _greeted(server)
        assert smtp.sock is not None
        smtp.sock.settimeout(server.command_seconds)
        smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        smtp.ehlo_or_helo_if_needed()
        if server.starttls:
            smtp.starttls(context=_tls(server.ca_file))
            smtp.ehlo_or_helo_if_needed()
        if server.user:
            smtp.login(server.user, server.password)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        if smtp is not None:
            smtp.close()
        words, code = _failure(error)
        raise classify.TransportDown(f"{server.host}:{server.port}: {words}", code=code) from None
    return smtp


def _greeted(server: Server) -> smtplib.SMTP:
    name = server.ehlo or _own_name()
    if server.implicit_tls:
        context = _tls(server.ca_file)
        return smtplib.SMTP_SSL(server.host, server.port, name, timeout=server.connect_seconds, context=context)
    return smtplib.SMTP(server.host, server.port, name, timeout=server.connect_seconds)


def _failure(error: Exception) -> tuple[str, str]:
    """Words and code of a failure to connect, to agree on TLS or to log in."""
    match error:
        case smtplib.SMTPResponseException():
            said = error.smtp_error
            words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            return f"{error.smtp_code} {words}", f"smtp {error.smtp_code}"
        case ssl.SSLCertVerificationError():
            return f"certificate: {error.verify_message}", "tls certificate"
        case ssl.SSLError():
            return f"TLS: {error.reason}", "tls"
        case socket.gaierror():
            return f"no such host: {error.strerror}", "dns"
        case TimeoutError():
            return "no answer in time", "connect timeout"
        case ConnectionRefusedError():
            return "connection refused", "connection refused"
        case _:
            return str(error) or type(error).__name__, "connect"


@functools.cache
def _tls(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)


@functools.cache
def _own_name() -> str:
    name = str(DNS_NAME)
    return name if "." in name else "[127.0.0.1]"
