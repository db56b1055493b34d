"""Connects to addresses that were judged, and lets no call outlast the limit of the exchange it belongs to."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore2

from queues.engine import reach


class Limit:
    """Until when the thread's current exchange may last."""

    until = 0.0

    def left(self, timeout: float | None) -> float:
        """Seconds, at most `timeout`; negative when it is over."""
        left = self.until - time.monotonic()
        if timeout is not None:
            left = min(left, timeout)
        return left


class Dialler(httpcore2.NetworkBackend):
    """Connects to an address that was judged, not to a name that may mean another one by then."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """To the first of the host's public addresses that answers. Raises what `reach` raises, too."""
        until = time.monotonic() + max(0.0, self._limit.left(timeout))
        failure: Exception = httpcore2.ConnectTimeout("no time was left")
        for address in reach.addresses(host, port, seconds=until - time.monotonic()):
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                stream = self._plain.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
                continue
            return _Stream(stream, self._limit)
        raise failure


class _Stream(httpcore2.NetworkStream):
    """A connection none of whose calls outlasts the limit, so that a trickle of bytes does not either."""

    def __init__(self, inner: httpcore2.NetworkStream, limit: Limit) -> None:
        self._inner = inner
        self._limit = limit

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._limit.left(timeout)
        if left <= 0:
            raise httpcore2.ReadTimeout("the answer did not end in time")
        return self._inner.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = self._limit.left(timeout)
        if left <= 0:
            raise httpcore2.WriteTimeout("the request was not written in time")
        self._inner.write(buffer, left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = max(0.001, self._limit.left(timeout))
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
