"""The HTTP client that stripe-python is given: no retries, and no call that lasts longer than its limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import requests
import stripe
import urllib3
from requests import exceptions as http
from requests.adapters import HTTPAdapter

from queues.engine import spans

CONNECT_SECONDS = 5.0
CALL_SECONDS = 15.0
"""From the first byte sent to the last one received."""
ANSWER_MAX = 20_000_000
"""Bytes of an answer that are read; a page of a hundred events is far below it."""


class NotSent(Exception):
    """The request did not reach the other side."""


class NoAnswer(Exception):
    """The request was sent, and no whole answer came."""


class TooSlow(NoAnswer):
    """No whole answer came within `CALL_SECONDS`."""


@dataclass(slots=True)
class Sending:
    """What one call adds to its request, and what is seen of it."""

    idempotency_key: str = ""
    account: str = ""
    context: str = ""
    requests: int = 0
    connection: Any = field(default=None, repr=False)
    """urllib3's, for the watch to cut."""


_sending: ContextVar[Sending | None] = ContextVar("sending", default=None)


@contextmanager
def sending(call: Sending) -> Iterator[Sending]:
    """Requests of this thread inside the block belong to `call`."""
    token = _sending.set(call)
    try:
        yield call
    finally:
        _sending.reset(token)


class Client(stripe.HTTPClient):
    """One session a thread. Raises NotSent, NoAnswer or TooSlow, which stripe-python lets through."""

    name = "redrive"

    def __init__(self, *, connect_seconds: float = CONNECT_SECONDS, call_seconds: float = CALL_SECONDS) -> None:
        super().__init__()
        self.connect_seconds = connect_seconds
        self.call_seconds = call_seconds
        self._own = threading.local()

    def request(  # type: ignore[override]
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """The answer's body, status and headers."""
        call = _sending.get() or Sending()
        call.requests += 1
        given = {**(headers or {}), **_headers(call)}
        cut = threading.Event()
        watch = threading.Timer(self.call_seconds, _cut, args=(call, cut))
        watch.daemon = True
        watch.start()
        try:
            with spans.span("call stripe", kind="client", method=method):
                return self._answer(method, url, given, post_data, cut)
        except http.RequestException as error:
            raise (_never_sent(error) or _unanswered(error, slow=cut.is_set())) from error
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise _unanswered(error, slow=cut.is_set()) from error
        finally:
            watch.cancel()
            call.connection = None

    def close(self) -> None:
        """Close this thread's session."""
        session = getattr(self._own, "session", None)
        if session is not None:
            session.close()
            self._own.session = None

    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], data: Any, cut: threading.Event
    ) -> tuple[bytes, int, Mapping[str, str]]:
        deadline = time.monotonic() + self.call_seconds
        response = self._session().request(
            method,
            url,
            headers=dict(headers),
            data=data,
            timeout=(self.connect_seconds, self.call_seconds),
            verify=stripe.ca_bundle_path,
            stream=True,
            allow_redirects=False,
        )
        with response:
            body = b""
            for part in response.iter_content(65_536):
                body += part
                if len(body) > ANSWER_MAX:
                    raise NoAnswer("the answer is too large")
                if time.monotonic() > deadline:
                    raise TooSlow("the answer did not end in time")
            if cut.is_set():
                raise TooSlow("the answer did not end in time")
            return body, response.status_code, response.headers

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = requests.Session()
            session.mount("https://", _Adapter())
            session.mount("http://", _Adapter())
            self._own.session = session
        return session


class _Noted:
    """A connection that tells the call in progress that it carries it."""

    def request(self, *given: Any, **named: Any) -> Any:
        if (call := _sending.get()) is not None:
            call.connection = self
        return super().request(*given, **named)  # type: ignore[misc]


class _Plain(_Noted, urllib3.connection.HTTPConnection):
    pass


class _Secure(_Noted, urllib3.connection.HTTPSConnection):
    pass


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    """requests' own, over connections that can be cut."""

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def _headers(call: Sending) -> dict[str, str]:
    given = {
        "Idempotency-Key": call.idempotency_key,
        "Stripe-Account": call.account,
        "Stripe-Context": call.context,
    }
    return {name: value for name, value in given.items() if value}


def _cut(call: Sending, done: threading.Event) -> None:
    """End a call whose time is up: whatever its thread reads or writes just now fails."""
    done.set()
    sock = getattr(call.connection, "sock", None)
    if sock is not None:
        try:
            sock.shutdown(2)
        except OSError:
            return


def _never_sent(error: http.RequestException) -> NotSent | None:
    # ConnectionError covers both "could not connect" and "connected, then cut off"; its reason tells which.
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    unreached = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    never = isinstance(error, http.ConnectTimeout | http.SSLError | http.ProxyError | http.InvalidURL)
    return NotSent(_words(error)) if never or isinstance(reason, unreached) else None


def _unanswered(error: Exception, *, slow: bool) -> NoAnswer:
    # A read time-out that meets the answer's body comes as a ConnectionError.
    cause = error.args[0] if error.args else None
    slow = slow or isinstance(error, http.Timeout) or isinstance(cause, urllib3.exceptions.ReadTimeoutError)
    return TooSlow(_words(error)) if slow else NoAnswer(_words(error))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
