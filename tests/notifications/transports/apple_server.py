"""A strict APNs on loopback: HTTP/2 over TLS with h2, Apple's rules for headers, token and payload, and misbehaviour.

    with AppleServer(certificate, public_key) as apple:
        apple.tell = lambda request: Told(410, "Unregistered", timestamp=...)
        apple.requests, apple.connections, apple.tokens_seen

It answers what Apple would answer to a wrong request, whatever it was told.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.notifications.transports.certificates import Certificate

TOPIC, KEY_ID, TEAM = "com.example.app", "ABC123DEFG", "TEAM123456"


@dataclass(frozen=True)
class Request:
    """What came in."""

    path: str
    headers: Mapping[str, str]
    payload: Any
    stream: int
    connection: int


@dataclass(frozen=True)
class Told:
    """How to answer. `do`: `answer`, `empty` (no body), `silence`, `drop`, `reset`, `refuse`, `goaway`,
    `empty frame`.
    """

    status: int = 200
    reason: str = ""
    timestamp: Any = None
    headers: Mapping[str, str] | None = None
    do: str = "answer"
    last_stream: int = 0
    """Of a GOAWAY."""
    goaway_reason: str = ""


class AppleServer:
    """One environment of Apple's."""

    def __init__(self, certificate: Certificate, public_key: ec.EllipticCurvePublicKey) -> None:
        self.tell: Callable[[Request], Told] = lambda _: Told()
        self.public_key = public_key
        self.requests: list[Request] = []
        self.tokens_seen: set[str] = set()
        self.connections = 0
        self.released = threading.Event()
        self._context = certificate.server_context(["h2"])
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self.url = f"https://localhost:{self.port}"
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(plain, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        plain.settimeout(0.1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            plain.settimeout(5)
            with self._context.wrap_socket(plain, server_side=True) as secure:
                secure.settimeout(0.05)
                _Connection(self, secure, number).run()
        except (OSError, ssl.SSLError):
            return
        finally:
            plain.close()


class _Connection:
    def __init__(self, owner: AppleServer, secure: ssl.SSLSocket, number: int) -> None:
        self.owner, self.socket, self.number = owner, secure, number
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.headers: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.over = False

    def run(self) -> None:
        self.h2.initiate_connection()
        self.flush()
        while not self.over and not self.owner.released.is_set():
            try:
                data = self.socket.recv(65_536)
            except TimeoutError:
                continue
            if not data:
                return
            for event in self.h2.receive_data(data):
                self.handle(event)
            self.flush()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.socket.sendall(data)

    def handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self.headers[event.stream_id] = dict(event.headers)  # type: ignore[arg-type]
                self.bodies[event.stream_id] = b""
            case h2.events.DataReceived():
                self.bodies[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.answer(event.stream_id)

    def answer(self, stream: int) -> None:
        headers = self.headers.pop(stream)
        request = Request(headers[":path"], headers, _json(self.bodies.pop(stream)), stream, self.number)
        self.owner.requests.append(request)
        status, reason = self.judge(request)
        told = self.owner.tell(request) if status == 200 else Told(status, reason)
        match told.do:
            case "silence":
                return
            case "drop":
                self.over = True
            case "reset":
                self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            case "refuse":
                self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            case "goaway":
                words = json.dumps({"reason": told.goaway_reason}).encode() if told.goaway_reason else None
                self.h2.close_connection(0, additional_data=words, last_stream_id=told.last_stream)
                self.flush()
                self.over = True
            case _:
                self.reply(stream, told)

    def reply(self, stream: int, told: Told) -> None:
        said = {"reason": told.reason} | ({"timestamp": told.timestamp} if told.timestamp is not None else {})
        body = json.dumps(said).encode() if told.reason and told.do != "empty" else b""
        headers = [(":status", str(told.status)), ("apns-id", "EC1BF194-B3B2-424A-89A9-5A918A6E6B5D")]
        headers += list((told.headers or {}).items())
        if told.do == "empty frame":
            self.h2.send_headers(stream, headers)
            self.h2.send_data(stream, b"")
            self.h2.send_data(stream, body, end_stream=True)
            return
        self.h2.send_headers(stream, headers, end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)

    def judge(self, request: Request) -> tuple[int, str]:
        """What Apple finds wrong with the request itself."""
        headers = request.headers
        if headers[":method"] != "POST":
            return 405, "MethodNotAllowed"
        if not (found := re.fullmatch(r"/3/device/([0-9a-f]+)", request.path)):
            return 404, "BadPath"
        if len(found[1]) < 64:
            return 400, "BadDeviceToken"
        if fault := self.token_fault(headers.get("authorization", "")):
            return 403, fault
        if headers.get("apns-topic") != TOPIC:
            return 400, "TopicDisallowed"
        kind, priority = headers.get("apns-push-type"), headers.get("apns-priority")
        if kind not in {"alert", "background"}:
            return 400, "InvalidPushType"
        if priority not in {"5", "10"} or (kind == "background" and priority == "10"):
            return 400, "BadPriority"
        if len(headers.get("apns-collapse-id", "").encode()) > 64:
            return 400, "BadCollapseId"
        if not re.fullmatch(r"\d{1,12}", headers.get("apns-expiration", "")):
            return 400, "BadExpirationDate"
        return self.payload_fault(request, kind)

    def token_fault(self, given: str) -> str:
        if not given.startswith("bearer "):
            return "MissingProviderToken"
        token = given.removeprefix("bearer ")
        self.owner.tokens_seen.add(token)
        try:
            claims = jwt.decode(token, self.owner.public_key, algorithms=["ES256"])
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            return "InvalidProviderToken"
        if claims.get("iss") != TEAM or kid != KEY_ID or set(claims) != {"iss", "iat"}:
            return "InvalidProviderToken"
        return "" if time.time() - claims["iat"] < 3600 else "ExpiredProviderToken"

    def payload_fault(self, request: Request, kind: str | None) -> tuple[int, str]:
        if request.payload is None:
            return 400, "PayloadEmpty"
        if len(json.dumps(request.payload, ensure_ascii=False, separators=(",", ":")).encode()) > 4096:
            return 413, "PayloadTooLarge"
        aps = request.payload.get("aps", {})
        fits = aps.get("content-available") == 1 if kind == "background" else "alert" in aps
        return (200, "") if fits else (400, "PayloadEmpty")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
