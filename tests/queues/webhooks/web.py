"""A real web server (granian) on the test's database, and deliveries to it over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tests.conftest import ROOT
from tests.queues.webhooks import deliveries


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many seconds; status 0: the connection broke."""

    status: int
    seconds: float
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Web:
    """`with Web(environment) as web: web.post(event)`."""

    def __init__(self, environment: dict[str, str], *, threads: int = 4) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--no-ws", "--workers", "1", "--blocking-threads", str(threads), "--respawn-failed-workers"),
            *("--workers-kill-timeout", "2", "config.wsgi:application"),
        ]
        self.environment = {**environment, "DJANGO_SETTINGS_MODULE": "tests.queues.webhooks.sample_settings"}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_until_up(self) -> None:
        """Return as soon as it answers."""
        deadline = time.monotonic() + 40
        while self.request("GET", "/webhooks/stripe/").status != 405:
            assert time.monotonic() < deadline, "".join(self.said[-50:])
            assert self._process.poll() is None, "".join(self.said[-50:])
            time.sleep(0.05)  # another process starts; there is nothing to wait on but its answer

    def post(self, event: Any, *, timeout: float = 30) -> Answer:
        """Deliver a signed event."""
        body = deliveries.raw(event)
        headers = {"Content-Type": "application/json", "Stripe-Signature": deliveries.header(body)}
        return self.request("POST", deliveries.ADDRESS, body, headers, timeout=timeout)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, *, timeout: float = 30
    ) -> Answer:
        """One request on a connection of its own."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            data = response.read()
            return Answer(response.status, time.monotonic() - begun, dict(response.getheaders()), data)
        except (OSError, http.client.HTTPException):
            return Answer(0, time.monotonic() - begun, {}, b"")
        finally:
            connection.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line.decode(errors="replace"))

    @property
    def log(self) -> str:
        """What it has written."""
        return "".join(self.said)


def at_once(jobs: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Run all together."""
    barrier = threading.Barrier(len(jobs))
    answers: list[Answer | None] = [None] * len(jobs)

    def run(place: int) -> None:
        barrier.wait(30)
        answers[place] = jobs[place]()

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = [answer for answer in answers if answer is not None]
    assert len(found) == len(jobs), "a delivery hangs"
    return found


class Proxy:
    """A TCP proxy before PostgreSQL that forwards, or swallows everything while it is `frozen`."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.frozen = threading.Event()
        self.pairs: list[socket.socket] = []
        self.port = 0
        self.server: socket.socket | None = None

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.gone()

    def listen(self) -> None:
        """Forward again."""
        self.frozen.clear()
        if self.server is None:
            self.server = socket.create_server(("127.0.0.1", self.port))
            self.port = self.server.getsockname()[1]
            threading.Thread(target=self._accept, args=(self.server,), daemon=True).start()

    def gone(self) -> None:
        """Refuse, and cut what is there."""
        if self.server is not None:
            self.server.shutdown(socket.SHUT_RDWR)  # accept() wakes up and closes it
            self.server = None
        for sock in self.pairs:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.pairs.clear()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                server.close()
                return
            real = socket.create_connection(self.target)
            self.pairs += [peer, real]
            for one, other in ((peer, real), (real, peer)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                while self.frozen.is_set():
                    time.sleep(0.02)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
