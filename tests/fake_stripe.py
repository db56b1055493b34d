"""A strict fake Stripe in another process, that misbehaves on request. Its account is that of the demo's fake.

    with FakeStripe() as stripe:                                  # stripe.url == "http://127.0.0.1:40123"
        stripe.fault("POST /v1/refunds", "hang", times=1)         # works, but its answer comes after 30 s
        stripe.act("pay", session_id)                             # what the customer does
        stripe.events()                                           # what Stripe would tell us, oldest first
        stripe.shift(hours=25)                                    # its clock goes on; keys are forgotten after 24 h

Faults: `hang` (does it, answers late), `cut` (does it, closes the connection), `refuse` (closes before doing it), or a
status: `500` is remembered under the idempotency key, as Stripe does; `429`, `503` and `409` are not. `broken` does it
and answers 500 all the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from config.demo.stripe.account import Account, ApiError
from config.demo.stripe.api import answer

HANG_SECONDS = 30.0
KEYS_LIVE = 24 * 3600


@dataclass
class Remembered:
    """An answer kept under an idempotency key."""

    digest: str
    at: float
    status: int = 0
    body: Any = None


@dataclass
class State:
    """What the process knows."""

    offset: float = 0.0
    faults: deque[dict[str, Any]] = field(default_factory=deque)
    keys: dict[str, Remembered] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    account: Account = field(init=False)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.account = Account(clock=self.now)

    def now(self) -> float:
        return time.time() + self.offset

    def fault_for(self, line: str) -> str:
        for fault in self.faults:
            if line.startswith(fault["match"]) and fault["times"] > 0:
                fault["times"] -= 1
                return str(fault["do"])
        return ""


class Handler(BaseHTTPRequestHandler):
    """Stripe's API, and the switch board under /_fake/."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one segment, or each answer waits 40 ms for an acknowledgement
    disable_nagle_algorithm = True
    state: State

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path.startswith("/_fake/"):
            self._answer(200, self._switch(self.path.removeprefix("/_fake/"), json.loads(body or "{}")))
            return
        parts = urlsplit(self.path)
        fields = parts.query if self.command == "GET" else body
        key = self.headers.get("Idempotency-Key") or ""
        line = f"{self.command} {parts.path}"
        with self.state.lock:
            self.state.log.append({"line": line, "fields": fields, "key": key, "at": self.state.now()})
            fault = self.state.fault_for(line)
        if not (self.headers.get("Authorization") or "").startswith("Bearer sk_test_"):
            self._answer(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}})
            return
        if fault == "refuse":
            self._cut()
            return
        status, found = self._do(parts.path, fields, key if self.command == "POST" else "", fault)
        if fault == "hang":
            self.state.released.wait(HANG_SECONDS)
        if fault in ("cut", "hang"):
            self._cut()
            return
        self._answer(status, found)

    def _do(self, path: str, fields: str, key: str, fault: str) -> tuple[int, Any]:
        digest = hashlib.sha256(f"{path} {fields}".encode()).hexdigest()
        state = self.state
        with state.lock:
            kept = state.keys.get(key) if key else None
            if kept is not None and state.now() - kept.at >= KEYS_LIVE:
                del state.keys[key]
                kept = None
            if kept is not None and kept.digest != digest:
                words = "Keys for idempotent requests can only be used with the same parameters."
                return 400, {"error": {"type": "idempotency_error", "message": words}}
            if kept is not None:
                return kept.status, kept.body
            if fault.isdecimal():
                status, found = int(fault), {"error": {"type": "api_error", "message": f"told to answer {fault}"}}
            else:
                status, found = answer(state.account, method=self.command, path=path, fields=fields)
            if fault == "broken":
                status, found = 500, {"error": {"type": "api_error", "message": "told to break"}}
            if key and status in (200, 402, 500):
                state.keys[key] = Remembered(digest, state.now(), status, found)
            return status, found

    def _switch(self, name: str, given: dict[str, Any]) -> Any:
        state = self.state
        with state.lock:
            match name:
                case "fault":
                    state.faults.append(given)
                case "shift":
                    state.offset += given["seconds"]
                case "act":
                    try:
                        return getattr(state.account, given["name"])(*given["args"], **given["options"])
                    except ApiError as error:
                        return error.body
                case "events":
                    return state.account.events
                case "objects":
                    return [each for each in state.account.objects.values() if each["object"] == given["kind"]]
                case "log":
                    return state.log
                case "clear":
                    state.released.set()
                    offset = 0.0
                    state.__init__(offset=offset)  # type: ignore[misc]
        return {}

    def _answer(self, status: int, found: Any) -> None:
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Request-Id", "req_fake")
        if status == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class FakeStripe:
    """The process, as a context manager, and what a test says to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fake_stripe", "--port", "0"],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def fault(self, match: str, do: str, *, times: int = 1) -> None:
        """Misbehave at the next `times` requests whose method and path begin with `match`."""
        self._say("fault", match=match, do=do, times=times)

    def shift(self, *, hours: float) -> None:
        """Its clock goes on."""
        self._say("shift", seconds=hours * 3600)

    def act(self, name: str, *args: Any, **options: Any) -> dict[str, Any]:
        """What the customer, the bank or time does: a method of `Account`."""
        found: dict[str, Any] = self._say("act", name=name, args=args, options=options)
        assert "error" not in found, found
        return found

    def events(self, *types: str) -> list[dict[str, Any]]:
        """All events so far, oldest first."""
        found: list[dict[str, Any]] = self._say("events")
        return [each for each in found if not types or each["type"] in types]

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        found: list[dict[str, Any]] = self._say("objects", kind=kind)
        return found

    def requests(self, line: str = "") -> list[dict[str, Any]]:
        """Every request so far whose method and path begin so."""
        return [each for each in self._say("log") if each["line"].startswith(line)]

    def clear(self) -> None:
        """Forget everything."""
        self._say("clear")

    def _say(self, switch: str, **given: Any) -> Any:
        request = Request(f"{self.url}/_fake/{switch}", json.dumps(given).encode(), method="POST")
        with urlopen(request, timeout=20) as response:
            return json.load(response)


def main() -> None:
    """Serve until stdin closes: the test that started it has gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    Handler.state = State()
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
