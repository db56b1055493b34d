"""One POST of JSON to an address from the settings: public hosts only, no redirects, bounded in time and size."""

from __future__ import annotations

import http.client
import json as jsons
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from queues.engine import reach

SECONDS = 10.0
ANSWER_MAX = 2000


class Failed(Exception):
    """There was no answer; says why, without the address's path, which is a secret."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    words: str


class _Pinned(http.client.HTTPConnection):
    """Connects to the address that was judged, under the name that was asked for."""

    def __init__(self, host: str, port: int, *, to: str, tls: bool) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self.to, self.tls = to, tls

    def connect(self) -> None:
        """Open the connection."""
        self.sock = socket.create_connection((self.to, self.port), timeout=SECONDS)
        if self.tls:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def json(url: str, content: dict[str, Any], *, key: str = "") -> Answer:
    """POST it; a redirect is an answer like any other. Raises Failed."""
    host, port, path, tls = _parts(url)
    try:
        addresses = reach.addresses(host, port, seconds=SECONDS)
    except reach.Private:
        raise Failed(f"{host} is a private address; PRIVATE_HOSTS_ALLOWED names exceptions") from None
    except reach.Unreachable as error:
        raise Failed(f"{host}: {error}") from None
    connection = _Pinned(host, port, to=addresses[0], tls=tls)
    body = jsons.dumps(content).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "Redrive", "Connection": "close"}
    try:
        connection.request("POST", path, body, {**headers, **({"Idempotency-Key": key} if key else {})})
        response = connection.getresponse()
        words = _read(response).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Failed(f"{host}: {_words(error)}") from None
    finally:
        connection.close()
    return Answer(response.status, " ".join("".join(c if c.isprintable() else " " for c in words).split())[:200])


def _parts(url: str) -> tuple[str, int, str, bool]:
    try:
        parts = urlsplit(url)
        host, tls = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
    except ValueError:
        raise Failed("the webhook's address is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise Failed("the webhook's address is not an http(s) URL")
    return host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), tls


def _read(response: http.client.HTTPResponse) -> bytes:
    """The beginning of the answer; one that trickles does not hold us."""
    begun, found = time.monotonic(), b""
    while len(found) < ANSWER_MAX and time.monotonic() - begun < SECONDS:
        part = response.read1(ANSWER_MAX - len(found))
        if not part:
            break
        found += part
    return found


def _words(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case ConnectionRefusedError():
            return "connection refused"
        case ssl.SSLCertVerificationError():
            return f"certificate: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {error.reason}"
        case http.client.RemoteDisconnected():
            return "closed without an answer"
        case _:
            return type(error).__name__
