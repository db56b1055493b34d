"""A Stripe on loopback that answers what a test tells it to, and notes what it was asked."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str = ""


@dataclass
class Stub:
    """`objects` by path; `faults` by path come first, each once; `events` are listed newest first."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, list[tuple[int, dict[str, str], Any]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    """Of our own account, oldest first."""
    accounts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Those of connected accounts."""
    thin: list[dict[str, Any]] | None = field(default_factory=list)
    """The v2 list, oldest first; None: an API without it."""
    asked: list[Request] = field(default_factory=list)
    page_max: int = 100
    hang: threading.Event | None = None
    """If set, answers wait for it."""
    url: str = ""

    def __enter__(self) -> Self:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                parts = urlsplit(self.path)
                request = Request(method, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body)
                stub.asked.append(request)
                if stub.hang is not None:
                    stub.hang.wait(30)
                status, headers, found = stub.answer(request)
                data = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(data)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                self.wfile.flush()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.hang is not None:
            self.hang.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, path: str, status: int, *, times: int = 1, **headers: str) -> None:
        """Answer the next requests for the path so."""
        error = {"error": {"type": "api_error", "message": f"told to answer {status}"}}
        self.faults.setdefault(path, []).extend([(status, headers, error)] * times)

    def answer(self, request: Request) -> tuple[int, dict[str, str], Any]:
        """Status, headers, body."""
        if waiting := self.faults.get(request.path):
            return waiting.pop(0)
        if request.path == "/v1/events":
            account = request.headers.get("Stripe-Account")
            return 200, {}, self._listed(request.query, self.accounts[account] if account else self.events)
        if request.path == "/v1/accounts":
            return 200, {}, {"data": [{"id": account} for account in self.accounts], "has_more": False}
        if request.path == "/v2/core/events" and self.thin is not None:
            theirs = [each for each in self.thin if each["context"] == request.headers.get("Stripe-Context")]
            return 200, {}, self._listed_thin(request.query, theirs)
        if request.path in self.objects:
            return 200, {}, self.objects[request.path]
        missing = {"type": "invalid_request_error", "code": "resource_missing", "message": f"No such: {request.path}"}
        return 404, {}, {"error": missing}

    def reads(self, path: str = "/v1/events") -> list[Request]:
        """What was asked for there."""
        return [request for request in self.asked if request.path == path]

    def _listed_thin(self, query: dict[str, str], events: list[dict[str, Any]]) -> dict[str, Any]:
        """As https://docs.stripe.com/api-v2-overview#list-pagination says: a `next_page_url` instead of cursors."""
        since, _, start = query.get("page", f"{query.get('created[gte]', '')} 0").partition(" ")
        found = [event for event in reversed(events) if event["created"] >= since]
        end = int(start) + min(int(query.get("limit", 20)), self.page_max)
        following = f"/v2/core/events?page={since}%20{end}" if end < len(found) else None
        return {"data": found[int(start) : end], "next_page_url": following, "previous_page_url": None}

    def _listed(self, query: dict[str, str], events: list[dict[str, Any]]) -> dict[str, Any]:
        """As https://docs.stripe.com/api/pagination says: newest first; `ending_before` gives what is just newer."""
        found = list(reversed(events))
        ids = [event["id"] for event in found]
        limit = min(int(query.get("limit", 10)), self.page_max)
        found = [event for event in found if event["created"] >= int(query.get("created[gte]", 0))]
        if before := query.get("ending_before"):
            newer = list(reversed(events))[: ids.index(before)]
            return {"object": "list", "data": newer[-limit:], "has_more": len(newer) > limit, "url": "/v1/events"}
        if after := query.get("starting_after"):
            found = found[[event["id"] for event in found].index(after) + 1 :]
        return {"object": "list", "data": found[:limit], "has_more": len(found) > limit, "url": "/v1/events"}
