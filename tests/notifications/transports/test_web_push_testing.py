"""End to end with npm's `web-push-testing`: a push server and browser by others, which decrypts what we sent.

It is installed once into var/peers; without node and npm, or without their registry, the test is skipped.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pytest_django import Settings

from config import secrets
from notifications.states import AddressKind, Reason
from notifications.transports import vapid, webpush
from notifications.transports.answers import Address, Message, Verdict
from tests.conftest import ROOT

PACKAGE = "web-push-testing@1.2.2"
FOLDER = ROOT / "var" / "peers" / "web-push-testing"

pytestmark = pytest.mark.once


def install() -> None:
    """Once; a half-done one is done again."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("needs node and npm, for web-push-testing")
    if (FOLDER / "installed").exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(FOLDER), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not install web-push-testing within two minutes")
    if done.returncode:
        pytest.skip(f"npm could not install web-push-testing: {done.stderr.strip().splitlines()[-1:]}")
    (FOLDER / "installed").write_text(PACKAGE)


class Testing:
    """The server's process and its API."""

    __test__ = False

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        script = FOLDER / "node_modules" / "web-push-testing" / "src" / "bin" / "server.js"
        self.process = subprocess.Popen(["node", str(script), str(self.port)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline()  # it says so when it listens
        self.url = f"http://localhost:{self.port}"

    def call(self, path: str, said: Any = None) -> Any:
        """Its answer's `data`."""
        request = Request(
            f"{self.url}{path}", json.dumps(said or {}).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urlopen(request, timeout=10) as response:
            body = response.read()
        return json.loads(body).get("data") if body.startswith(b"{") else None


@pytest.fixture
def testing(settings: Settings) -> Iterator[Testing]:
    """A fresh one, reachable although it is local."""
    install()
    server = Testing()
    settings.PRIVATE_HOSTS_ALLOWED = [f"localhost:{server.port}"]
    settings.VAPID_PRIVATE_KEY = secrets.vapid_key()
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def test_subscribe_send_read_expire(testing: Testing, settings: Settings, browser_carrier: webpush.WebPush):
    """A browser subscribes with our key, reads what we sent, and its end reaches us as a dead address."""
    made = testing.call("/subscribe", {"userVisibleOnly": "true", "applicationServerKey": vapid.public_key()})
    address = Address(
        app="default",
        kind=AddressKind.WEBPUSH_ENDPOINT,
        address=made["endpoint"],
        vapid_key_thumbprint=vapid.thumbprint(),
        **made["keys"],
    )
    long = Message(title="Grüße", body="x" * 3900, collapse_id="c-1")
    assert len(webpush.encoded(long)) <= 3993
    for message in (Message(title="Hello", url="/orders/1", data={"a": "b"}), long):
        assert browser_carrier.send(message, address).verdict is Verdict.ACCEPTED

    seen = testing.call("/get-notifications", {"clientHash": made["clientHash"]})["messages"]
    assert json.loads(seen[0]) == {"title": "Hello", "url": "/orders/1", "data": {"a": "b"}}
    assert json.loads(seen[1])["body"] == "x" * 3900

    ours = settings.VAPID_PRIVATE_KEY
    settings.VAPID_PRIVATE_KEY = secrets.vapid_key()
    assert browser_carrier.send(long, address).verdict is not Verdict.ACCEPTED  # it knows whose key it was made with
    settings.VAPID_PRIVATE_KEY = ours

    testing.call(f"/expire-subscription/{made['clientHash']}")
    answer = browser_carrier.send(long, address)
    assert (answer.verdict, answer.status, answer.device_reason) == (Verdict.INVALIDATE, "410", Reason.REFUSED)
