"""An HTTP/1.1 server that records what it is asked and answers as it is told, or misbehaves.

with PlainServer(lambda request: Told(201)) as server:
    server.url, server.requests
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """What came in. Header names are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Told:
    """How to answer. `do`: `answer`, `silence`, `reset` (RST), `close` (FIN), `trickle` (for ever), `huge`."""

    status: int = 201
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    do: str = "answer"


class PlainServer:
    """One server with its threads; `tell` may be replaced at any time."""

    def __init__(self, tell: Callable[[Request], Told] = lambda _: Told()) -> None:
        self.tell = tell
        self.requests: list[Request] = []
        self.connections = 0
        self.released = threading.Event()
        self.cut_off = threading.Event()
        """Somebody did not read an answer to its end."""
        outer = self

        class Handler(_Handler):
            owner = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    owner: PlainServer

    def setup(self) -> None:
        super().setup()
        self.owner.connections += 1

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.owner.requests.append(request)
        told = self.owner.tell(request)
        if told.do == "answer":
            self._answer(told)
            return
        self.close_connection = True
        if told.do == "silence":
            self.owner.released.wait(20)
        elif told.do == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif told.do == "trickle":
            self.wfile.write(b"HTTP/1.1 201 Created\r\nX-Slow: ")
            self._drip()
        elif told.do == "huge":
            self._answer(Told(told.status, b"x" * 30_000_000))

    def _drip(self) -> None:
        try:
            while not self.owner.released.wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()
        except OSError:
            return

    def _answer(self, told: Told) -> None:
        self.send_response(told.status)
        for name, value in told.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(told.body)))
        self.end_headers()
        try:
            self.wfile.write(told.body)
            self.wfile.flush()
        except OSError:
            self.owner.cut_off.set()
