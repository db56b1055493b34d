"""The carriers of a process, and the console."""

from __future__ import annotations

import json
import os
import threading
import warnings
from typing import Any

import pytest

from notifications.states import AddressKind, Transport
from notifications.transports import carriers, wire
from notifications.transports.answers import Address, Message, Verdict
from tests.notifications.transports.plain_server import PlainServer

pytestmark = pytest.mark.once


def test_every_transport_has_one_carrier_a_process():
    """Asked by many threads at once, it is made once."""
    carriers._made.clear()
    found: list[Any] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait(5)
        found.append({transport: carriers.get(transport) for transport in Transport.values})

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert all(each == found[0] for each in found)
    with pytest.raises(KeyError):
        carriers.get("carrier pigeon")
    carriers.close()


def test_the_console_takes_everything_and_logs_no_words(caplog: pytest.LogCaptureFixture):
    """What people write to each other is in no log."""
    carrier = carriers.get(Transport.CONSOLE)
    address = Address("default", AddressKind.CONSOLE, "me")
    answer = carrier.send(Message(title="private words", body="more of them", url="/orders/1"), address)
    assert (answer.verdict, carrier.credential(address)) == (Verdict.ACCEPTED, "console")
    assert "private words" not in caplog.text
    assert "more of them" not in caplog.text
    assert "/orders/1" in caplog.text


def test_a_forked_process_uses_no_connection_of_its_parent(push_service: PlainServer):
    """django-q2 forks: two processes on one socket would read each other's answers."""
    line = wire.Wire()
    until = wire.time.monotonic() + 5
    line.post(push_service.url, headers={}, body=b"parent", until=until)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the server's threads do not matter to the child
        child = os.fork()
    if not child:
        try:
            line.post(push_service.url, headers={}, body=b"child", until=until)
            line.close()
            os.write(writing, json.dumps("sent").encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    assert os.read(reading, 100) == b'"sent"'
    os.close(reading)
    line.post(push_service.url, headers={}, body=b"parent again", until=until)
    assert [each.body for each in push_service.requests] == [b"parent", b"child", b"parent again"]
    assert push_service.connections == 2
    line.close()
