"""Deliveries by a peer we did not write: localstripe, a fake Stripe that signs and posts events over HTTP.

It lives in an environment of its own (`var/peers/localstripe`), which the first run makes; where that is not possible
the test is skipped and says so.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from queues.webhooks.models import WebhookEvent
from tests.conftest import ROOT
from tests.queues.webhooks import deliveries
from tests.queues.webhooks.web import Web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.once]

HOME = ROOT / "var" / "peers" / "localstripe"
VERSION = "localstripe==1.15.10"
SERVE = "from aiohttp import web; from localstripe.server import app; web.run_app(app, host='127.0.0.1', port={port})"


@pytest.fixture(scope="module")
def python() -> Path:
    """localstripe's own interpreter."""
    found = HOME / "bin" / "python"
    if not (HOME / "installed").exists():
        try:
            venv.create(HOME, with_pip=True, clear=True)
            # Not verified by hash: it is a test's peer, never imported by us.
            line = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", VERSION]
            subprocess.run(line, check=True, capture_output=True, timeout=110)
            (HOME / "installed").touch()
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"localstripe cannot be installed here ({type(error).__name__})")
    return found


@pytest.fixture
def localstripe(python: Path) -> Iterator[str]:
    """Its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [python, "-c", SERVE.format(port=port)], cwd=HOME, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not listens(port):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)  # another process starts
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def say(place: str, /, **fields: Any) -> Any:
    request = Request(place, urlencode(fields).encode(), {"Authorization": "Bearer sk_test_" + "a" * 24})
    with urlopen(request, timeout=20) as response:
        data = response.read()
        return json.loads(data) if data else None


def test_a_peers_signed_deliveries_are_stored_as_they_came(localstripe: str, child_environment: dict[str, str]):
    with Web(child_environment) as web:
        address = f"http://127.0.0.1:{web.port}{deliveries.ADDRESS}"
        say(f"{localstripe}/_config/webhooks/redrive", url=address, secret=deliveries.SECRET)
        customers = [say(f"{localstripe}/v1/customers", name=f"Zoë {number}", description="x") for number in range(5)]
        deadline = time.monotonic() + 30
        while WebhookEvent.objects.filter(kind="customer.created").count() < 5:
            assert time.monotonic() < deadline, web.log
            time.sleep(0.05)  # it delivers a second after the change
    stored = WebhookEvent.objects.filter(kind="customer.created")
    assert {row.object_id for row in stored} == {customer["id"] for customer in customers}
    names = {json.loads(bytes(row.payload))["data"]["object"]["name"] for row in stored}
    assert names == {f"Zoë {number}" for number in range(5)}
    assert {row.api_version for row in stored} == {"2017-08-15"}
