"""Web Push against a strict push service: what it is given, what it may do to us, and where we never connect."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from notifications.states import AddressKind
from notifications.transports import vapid, webpush, wire
from notifications.transports.answers import Address, Message, Verdict
from queues.engine import reach
from tests.notifications.transports.browser import Browser, faults
from tests.notifications.transports.plain_server import PlainServer, Told

pytestmark = pytest.mark.once

BROWSER = Browser()


def subscription(url: str, **changes: Any) -> Address:
    given = {"app": "default", "kind": AddressKind.WEBPUSH_ENDPOINT, "address": f"{url}/p/secret-id", **BROWSER.keys}
    return Address(**(given | changes))


MESSAGES = [
    Message(title="Hello"),
    Message(title="Hello", body="there", url="/orders/1", data={"a": "b"}, ack_url="https://x/ack", collapse_id="c-1"),
    Message(title="Hello", collapse_id="x" * 64, urgent=True, ttl=timedelta(0)),
    Message(title="Hello", collapse_id="Grüße / 1", ttl=timedelta(days=400)),
    Message(title="Hello", ttl=timedelta(seconds=-5), silent=True),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_strict_push_service_has_nothing_to_complain_of(
    push_service: PlainServer, browser_carrier: webpush.WebPush, message: Message
):
    """Headers, signature, and text that the browser can decrypt."""
    push_service.tell = lambda _: Told(201, headers={"Location": "https://push.example/m/1"})
    answer = browser_carrier.send(message, subscription(push_service.url))
    assert (answer.verdict, answer.provider_id) == (Verdict.ACCEPTED, "https://push.example/m/1")
    request = push_service.requests[0]
    assert faults(request, origin=push_service.url) == []
    said = BROWSER.read(request)
    assert (said["title"], said.get("tag", "")) == (message.title, message.collapse_id)
    assert request.headers["urgency"] == ("high" if message.urgent else "normal")
    assert 0 <= int(request.headers["ttl"]) <= 2_419_200


def test_a_repetition_has_the_same_topic(push_service: PlainServer, browser_carrier: webpush.WebPush):
    """So that it replaces itself while the device is off; another push has another."""
    for collapse_id in ("n-1", "n-1", "ö" * 40, "ö" * 40, "ö" * 39):
        browser_carrier.send(Message(title="x", collapse_id=collapse_id), subscription(push_service.url))
    topics = [each.headers["topic"] for each in push_service.requests]
    assert topics[0] == topics[1] == "n-1"
    assert topics[2] == topics[3] != topics[4]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=1500), st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=5))
def test_hostile_text_arrives_or_is_refused(
    push_service: PlainServer, browser_carrier: webpush.WebPush, text: str, data: dict[str, str]
):
    """Any characters at all: the browser reads them, or nothing was sent because it would be too large."""
    push_service.requests.clear()
    answer = browser_carrier.send(Message(title=text, data=data), subscription(push_service.url))
    if answer.verdict is Verdict.FAULT:
        assert (answer.status, push_service.requests) == ("size", [])
        return
    assert answer.verdict is Verdict.ACCEPTED
    said = BROWSER.read(push_service.requests[0])
    assert said.get("title", "") == text.encode(errors="replace").decode()
    assert len(push_service.requests[0].body) <= 4096


def test_connections_are_kept(push_service: PlainServer, browser_carrier: webpush.WebPush):
    """Ten pushes, one connection; the first to go stale is replaced without a loss."""
    for _ in range(10):
        browser_carrier.send(MESSAGES[0], subscription(push_service.url))
    assert push_service.connections == 1
    push_service.tell = lambda _: Told(201, headers={"Connection": "close"})
    for _ in range(3):
        assert browser_carrier.send(MESSAGES[0], subscription(push_service.url)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("do", ["silence", "trickle"])
def test_a_service_that_does_not_answer_holds_nobody(
    push_service: PlainServer, browser_carrier: webpush.WebPush, monkeypatch: pytest.MonkeyPatch, do: str
):
    """Nothing at all, or a byte every now and then: over when the time is up, and the next push goes out."""
    assert wire.SEND_SECONDS <= 10
    monkeypatch.setattr(wire, "SEND_SECONDS", 0.4)
    push_service.tell = lambda _: Told(do=do)
    began = time.monotonic()
    answer = browser_carrier.send(MESSAGES[0], subscription(push_service.url))
    assert (answer.verdict, answer.status) == (Verdict.UNCERTAIN, "timeout")
    assert time.monotonic() - began < 4
    push_service.tell = lambda _: Told()
    assert browser_carrier.send(MESSAGES[0], subscription(push_service.url)).verdict is Verdict.ACCEPTED


def test_a_huge_answer_is_not_read(push_service: PlainServer, browser_carrier: webpush.WebPush):
    """Its status counts; thirty megabytes of body do not."""
    push_service.tell = lambda _: Told(410, do="huge")
    answer = browser_carrier.send(MESSAGES[0], subscription(push_service.url))
    assert push_service.cut_off.wait(5)
    assert answer.verdict is Verdict.INVALIDATE
    assert len(answer.words) < 500


def test_what_the_service_says_is_kept_without_address_and_secrets(
    push_service: PlainServer, browser_carrier: webpush.WebPush
):
    """The endpoint is a capability: it stands in no message for staff. NUL and half characters are gone."""
    address = subscription(push_service.url)
    said = f"no \x00 \ud800 {address.address} Bearer abcdefghijkl".encode(errors="surrogatepass")
    push_service.tell = lambda _: Told(400, said)
    answer = browser_carrier.send(MESSAGES[0], address)
    assert "secret-id" not in answer.words
    assert "abcdefghijkl" not in answer.words
    assert "\x00" not in answer.words
    answer.words.encode()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "999999999999"}, 24 * 3600),
        ({"Retry-After": "Tue, 24 Nov 2026 12:00:30 GMT", "Date": "Tue, 24 Nov 2026 12:00:00 GMT"}, 30),
        ({"Retry-After": "Tue, 24 Nov 2020 12:00:30 GMT", "Date": "Tue, 24 Nov 2026 12:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, 60),
        ({"Retry-After": "-1"}, 60),
        ({"Retry-After": "٣"}, 60),
        ({}, 60),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(headers: dict[str, str], seconds: int):
    """By the service's own clock; what cannot be read is as if it were not there."""
    lower = {name.lower(): value for name, value in headers.items()}
    reply = wire.Reply(429, lower, b"")
    found = webpush._answer(reply, subscription("https://push.example"))
    assert found.verdict is Verdict.RETRY
    assert found.retry_after == timedelta(seconds=seconds)


def test_a_date_without_the_services_clock_is_read_by_ours():
    """Hardly anyone leaves out Date."""
    now = timezone.now()
    reply = wire.Reply(429, {"retry-after": (now + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")}, b"")
    assert reply.retry_after(now=now) is not None
    assert timedelta(seconds=85) < (reply.retry_after(now=now) or timedelta()) <= timedelta(seconds=90)


PRIVATE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
    *("::127.0.0.1", "2001:0:7f00:1::", "192.0.2.1", "198.18.0.1"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str):
    """In every spelling and wrapping."""
    assert not reach.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str):
    """Also behind NAT64."""
    assert reach.is_public(ipaddress.ip_address(address))


class Resolver:
    """Stands in for the resolver: one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.connected: list[str] = []

    def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    def create_connection(self, address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        self.connected.append(address[0])
        raise ConnectionRefusedError


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch, settings: Settings, _loopback: None) -> Resolver:
    """No exceptions, and a resolver and sockets of the test's own."""
    settings.PRIVATE_HOSTS_ALLOWED = []
    found = Resolver(["127.0.0.1"])
    monkeypatch.setattr(reach.socket, "getaddrinfo", found.getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", found.create_connection)
    return found


def test_a_name_of_a_private_address_is_never_connected_to(resolver: Resolver, browser_carrier: webpush.WebPush):
    """It is judged when it is connected to, not when it was registered."""
    answer = browser_carrier.send(MESSAGES[0], subscription("https://evil.example"))
    assert (answer.verdict, answer.status) == (Verdict.RETRY, "private")
    assert resolver.connected == []


def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_judged(
    resolver: Resolver, browser_carrier: webpush.WebPush
):
    """DNS rebinding: public when asked, private a moment later. It is asked once, and the socket gets that address."""
    resolver.answers = [["8.8.8.8"], ["127.0.0.1"]]
    browser_carrier.send(MESSAGES[0], subscription("https://rebind.example"))
    assert (resolver.asked, resolver.connected) == (1, ["8.8.8.8"])


def test_of_several_addresses_only_public_ones_are_tried(resolver: Resolver, browser_carrier: webpush.WebPush):
    """All of them, in order."""
    resolver.answers = [["10.0.0.1", "8.8.8.8", "169.254.169.254", "1.1.1.1"]]
    answer = browser_carrier.send(MESSAGES[0], subscription("https://many.example"))
    assert resolver.connected == ["8.8.8.8", "1.1.1.1"]
    assert answer.status == "connect"


def test_exceptions_are_hosts_ports_and_networks(settings: Settings):
    """`PRIVATE_HOSTS_ALLOWED=localhost:8090,10.1.0.0/16,[::1]:9`."""
    settings.PRIVATE_HOSTS_ALLOWED = ["localhost:8090", "10.1.0.0/16", "[::1]:9", "Intern.Example"]
    assert reach.excepted("localhost", 8090)
    assert not reach.excepted("localhost", 8091)
    assert reach.excepted("10.1.2.3", 1)
    assert not reach.excepted("10.2.2.3", 1)
    assert reach.excepted("::1", 9)
    assert not reach.excepted("::1", 10)
    assert reach.excepted("intern.example", 443)
    assert reach.may_reach("push.example", 443, ipaddress.ip_address("10.1.9.9"))
    assert not reach.may_reach("push.example", 443, ipaddress.ip_address("10.2.9.9"))


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    """getaddrinfo has no time-out of its own."""
    released = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        released.wait(20)
        return []

    monkeypatch.setattr(reach.socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(reach.Unreachable):
        reach.addresses("slow.example", 443, seconds=0.1)
    assert time.monotonic() - began < 6
    released.set()


def test_a_lane_is_one_push_service(push_service: PlainServer, browser_carrier: webpush.WebPush):
    """A stranger's endpoint that answers 403 to everything stops only itself."""
    names = [
        browser_carrier.credential(subscription(url))
        for url in ("https://fcm.googleapis.com", "https://evil.example", "https://" + "x" * 60 + ".example")
    ]
    assert names[0] == f"{vapid.thumbprint()}@fcm.googleapis.com"
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)
