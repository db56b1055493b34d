"""Google's side of Web Push as Chromium needs it, on loopback: check-in, registration, the push endpoint, and the line
(MCS) by which the browser gets its pushes. Fields by their public .proto numbers
(https://chromium.googlesource.com/chromium/src/+/main/google_apis/gcm/protocol/).

    Chromium ── check-in, register ─▶ http ◀── our server's push
        └────────── MCS over TLS ───────┘
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

VERSION = 41
LOGIN_RESPONSE, DATA_MESSAGE = 3, 8
PATIENCE = 20.0


class Google:
    """The stand-in; `address(endpoint)` is where an endpoint of the browser's really is."""

    def __init__(self, folder: Path) -> None:
        self.sent: list[bytes] = []
        """Bodies that our server pushed."""
        self.gone: set[str] = set()
        """Tokens that are answered with 410."""
        self._registered: dict[str, dict[str, str]] = {}
        self._lines: list[ssl.SSLSocket] = []
        self._online = threading.Event()
        self._numbers = itertools.count(1)
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._mcs, self._tls = socket.create_server(("127.0.0.1", 0)), _tls(folder)
        self._threads: list[threading.Thread] = []
        self._start(self._http.serve_forever)
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def switches(self) -> list[str]:
        """What Chromium has to be told."""
        return [
            f"--gcm-checkin-url={self.url}/checkin",
            f"--gcm-registration-url={self.url}/register",
            f"--gcm-mcs-endpoint=https://127.0.0.1:{self._mcs.getsockname()[1]}",
            "--ignore-certificate-errors",
        ]

    def address(self, endpoint: str) -> str:
        return f"{self.url}/send/{endpoint.rpartition('/')[2]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        for line in (*self._lines, self._mcs):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)

    def push(self, token: str, body: bytes) -> int:
        """Hand a push on to the browser; the status that its sender is answered."""
        self.sent.append(body)
        app = self._registered.get(token)
        if app is None or token in self.gone:
            return 410
        assert self._online.wait(PATIENCE), "the browser never opened its line"
        number = f"p{next(self._numbers)}"
        data = [("subtype", app["X-subtype"])] if "X-subtype" in app else []
        message = _text(2, number) + _text(3, app["sender"]) + _text(5, app["app"]) + _text(9, number)
        for name, value in [*data, ("content-encoding", "aes128gcm")]:
            message += _bytes(7, _text(1, name) + _text(2, value))
        message += _bytes(21, body)
        self._lines[-1].sendall(bytes([DATA_MESSAGE]) + _varint(len(message)) + message)
        return 201

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        google = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path.startswith("/send/"):
                    return self.say(google.push(self.path.rpartition("/")[2], body))
                if self.path.startswith("/register"):
                    asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                    token = f"token-{next(google._numbers)}"
                    google._registered[token] = asked
                    return self.say(200, f"token={token}".encode())
                # stats_ok, time_msec, android_id and security_token (fixed64), version_info
                checked_in = b"\x08\x01\x18\x01" + b"\x39" + b"\x01" * 8 + b"\x41" + b"\x02" * 8 + _text(11, "v")
                return self.say(200, checked_in, "application/x-protobuf")

            def say(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *parts: Any) -> None: ...

        return Handler

    def _start(self, run: Callable[..., None], *given: Any) -> None:
        self._threads.append(threading.Thread(target=run, args=given, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with self._mcs:
            while True:
                try:
                    raw, _ = self._mcs.accept()
                except OSError:
                    return
                self._start(self._serve, raw)

    def _serve(self, raw: socket.socket) -> None:
        """Answer the log-in; what the browser says after that is of no interest."""
        with contextlib.suppress(OSError), raw, self._tls.wrap_socket(raw, server_side=True) as line:
            if not line.recv(4096):
                return
            login = _text(1, "login")
            line.sendall(bytes([VERSION, LOGIN_RESPONSE]) + _varint(len(login)) + login)
            self._lines.append(line)
            self._online.set()
            while line.recv(4096):
                pass


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - dt.timedelta(days=1))
    made = made.not_valid_after(now + dt.timedelta(days=30))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "google.pem"
    file.write_bytes(pem + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
