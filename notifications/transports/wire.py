"""One HTTP exchange with a push service: to public addresses only, within a deadline, never following a redirect.

Exchange
├── Reply             it answered
├── NotProcessed      it provably did nothing: not reached, not wholly written, refused by GOAWAY or REFUSED_STREAM
└── NoAnswer          wholly written, and no answer came

httpcore2 is what httpx2 sends with. It is used directly because it lets us choose the address to connect to, and
because it costs half the CPU of an httpx2 client. Each thread has its own pool: httpcore2's HTTP/2 connections are not
safe to share between threads, and a request that hangs harms no other.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

import h2.errors
import h2.events
import httpcore2
import httpx2

from notifications.transports import dialling
from queues.engine import reach

CONNECT_SECONDS = 5.0
SEND_SECONDS = 10.0
"""Of one push, from the first look-up to the last byte of the answer, with its second tries."""
CONNECTIONS = 10
KEEP_SECONDS = 60.0
ANSWER_MAX = 65_536
"""Bytes of an answer that are read; the largest real ones have a few hundred."""
RETRY_AFTER_MAX = timedelta(hours=24)
AGENT = b"Redrive"
REFUSED = h2.errors.ErrorCodes.REFUSED_STREAM


class NotProcessed(Exception):
    """The other side did not act on the request. `status`: `connect`, `private`, `refused`, …"""

    def __init__(self, status: str, words: str, *, reason: str = "") -> None:
        self.status, self.words, self.reason = status, words, reason
        super().__init__(f"{status}: {words}")


class NoAnswer(NotProcessed):
    """The other side may have acted on it. `status`: `timeout` or `reset`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, or None: proxies answer in HTML."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def retry_after(self, *, now: datetime) -> timedelta | None:
        """Its advice: seconds, or a date by its own clock (RFC 9110 section 10.2.3), up to a day."""
        value = self.headers.get("retry-after", "").strip()
        try:
            if value.isascii() and value.isdigit():
                wait = timedelta(seconds=int(value[:7]))
            elif value:
                then = parsedate_to_datetime(value)
                wait = then - (parsedate_to_datetime(self.headers["date"]) if "date" in self.headers else now)
            else:
                return None
        except (TypeError, ValueError, OverflowError):
            return None
        return min(max(wait, timedelta()), RETRY_AFTER_MAX)


class Wire:
    """The connections to one kind of service. Shared by threads, each of which has its own."""

    def __init__(self, *, http2: bool = False) -> None:
        self._http2 = http2
        self._own = threading.local()
        self._trust: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, until: float) -> Reply:
        """Send once, or twice if the first was provably not processed. `until`: monotonic seconds.

        Raises NotProcessed or NoAnswer.
        """
        try:
            return self._exchange(url, headers, body, until)
        except NoAnswer:
            raise
        except NotProcessed as error:
            again = error.status in {"refused", "goaway", "write"} and not error.reason
            if not again or time.monotonic() >= until:
                raise
        # A connection that the other side had closed, or is closing: a fresh one at once.
        self.close()
        return self._exchange(url, headers, body, until)

    def close(self) -> None:
        """Close this thread's connections."""
        pool = getattr(self._own, "pool", None)
        if pool is not None and self._own.pid == os.getpid():  # not those of the process we were forked from
            pool.close()
        self._own.pool = None

    def _exchange(self, url: str, headers: Mapping[str, str], body: bytes, until: float) -> Reply:
        target = _target(url)
        pool = self._pool(until)
        sent = _Body(body)
        left = max(0.0, until - time.monotonic())
        limits = {"timeout": {"connect": min(CONNECT_SECONDS, left), "read": left, "write": left, "pool": left}}
        try:
            given = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
            given += [(b"Content-Length", str(len(body)).encode()), (b"User-Agent", AGENT)]
            body_of = cast("Iterator[bytes]", sent)  # httpcore2 asks for less than it says
            with pool.stream("POST", target, headers=given, content=body_of, extensions=limits) as response:
                return _reply(response)
        except Exception as error:
            failure = _failure(error, handed_over=sent.handed_over)
            if self._http2:
                self.close()  # a connection that failed once stays in httpcore2's pool and fills it
            raise failure from error

    def _pool(self, until: float) -> httpcore2.ConnectionPool:
        """This thread's pool, whose sockets obey `until`."""
        own = self._own
        if getattr(own, "pool", None) is None or own.pid != os.getpid():
            own.pid = os.getpid()
            own.limit = dialling.Limit()
            own.pool = httpcore2.ConnectionPool(
                ssl_context=self._trusted(),
                max_connections=CONNECTIONS,
                keepalive_expiry=KEEP_SECONDS,
                http1=not self._http2,
                http2=self._http2,
                network_backend=dialling.Dialler(own.limit),
            )
        own.limit.until = until
        pool: httpcore2.ConnectionPool = own.pool
        return pool

    def _trusted(self) -> ssl.SSLContext:
        """The system's certificates, or those of SSL_CERT_FILE. Made once: it takes 20 ms."""
        with self._lock:
            if self._trust is None:
                self._trust = httpx2.create_ssl_context()
            return self._trust


def origin(url: str) -> str:
    """`https://host:port` of a URL, without the default port. Raises ValueError for what is none."""
    try:
        at = httpcore2.URL(url).origin
        default = {b"https": 443, b"http": 80}[at.scheme]
    except (KeyError, TypeError):
        raise ValueError("not an http(s) URL") from None
    if not at.host:
        raise ValueError("no host")
    host = at.host.decode("ascii")
    return f"{at.scheme.decode()}://{host}" + ("" if at.port == default else f":{at.port}")


def _target(url: str) -> httpcore2.URL:
    try:
        origin(url)
        parsed = httpcore2.URL(url)
    except ValueError as error:
        raise NotProcessed("malformed", "not an address of a push service") from error
    host, port = parsed.origin.host.decode("ascii"), parsed.origin.port
    if parsed.scheme == b"http" and not reach.excepted(host, port):
        raise NotProcessed("private", "not https")
    return parsed


class _Body:
    """The request's body, which knows whether all of it was handed to the connection.

    No generator: httpcore2 reads it a second time when it repeats a request above the last stream of a GOAWAY.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.handed_over = False

    def __iter__(self) -> Iterator[bytes]:
        self.handed_over = False
        yield self.content
        self.handed_over = True


def _reply(response: httpcore2.Response) -> Reply:
    """The answer. Once its status is known, a body that breaks off is only shorter."""
    parts: list[bytes] = []
    size = 0
    try:
        for part in response.iter_stream():
            parts.append(part)
            size += len(part)
            if size > ANSWER_MAX:
                break
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException):
        pass
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return Reply(response.status, headers, b"".join(parts)[:ANSWER_MAX])


def _failure(error: Exception, *, handed_over: bool) -> NotProcessed:
    """What an exception of httpcore2 or of `reach` says about the request."""
    words = f"{type(error).__name__}: {str(error)[:200]}"
    match error:
        case reach.Private():
            return NotProcessed("private", str(error))
        case reach.Unreachable():
            return NotProcessed("connect", str(error))
        case httpcore2.ConnectError() | httpcore2.ConnectTimeout() | httpcore2.PoolTimeout():
            return NotProcessed("connect", words)
        case httpcore2.RemoteProtocolError(args=[h2.events.ConnectionTerminated() as goaway]):
            return _goaway(goaway, handed_over=handed_over)
        case httpcore2.RemoteProtocolError(
            args=[h2.events.StreamReset(error_code=h2.errors.ErrorCodes.REFUSED_STREAM)]
        ):
            return NotProcessed("refused", "the stream was refused")
        case httpcore2.RemoteProtocolError(args=[h2.events.StreamReset() as reset]):
            return NoAnswer("reset", f"the stream was reset ({int(reset.error_code or 0)})")
        case httpcore2.LocalProtocolError() | httpcore2.UnsupportedProtocol() | ValueError() if not handed_over:
            return NotProcessed("malformed", words)
        case _ if not handed_over:
            return NotProcessed("write", words)
        case httpcore2.TimeoutException():
            return NoAnswer("timeout", words)
        case httpcore2.NetworkError() | httpcore2.ProtocolError() | ValueError():
            return NoAnswer("reset", words)
    raise error


def _goaway(goaway: h2.events.ConnectionTerminated, *, handed_over: bool) -> NotProcessed:
    """The connection is ending. Streams above its last one were not processed, by its own word (RFC 9113, 6.8).

    httpcore2 itself repeats those, unless that last one is 0. APNs can give its reason here.
    """
    try:
        said = json.loads(goaway.additional_data or b"")
        reason = str(said.get("reason", "")) if isinstance(said, dict) else ""
    except (ValueError, RecursionError):
        reason = ""
    words = f"the connection was ended ({int(goaway.error_code or 0)})"
    if goaway.last_stream_id and handed_over:
        return NoAnswer("reset", words, reason=reason)
    return NotProcessed("goaway", words, reason=reason)
