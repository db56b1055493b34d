"""APNs against a strict Apple over HTTP/2: what it gets, what it does to connections, and one signature for all."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from notifications.models import Credential
from notifications.states import AddressKind, Environment
from notifications.transports import apns, tokens, wire
from notifications.transports.answers import Address, Message, Verdict
from tests.conftest import ROOT
from tests.notifications.transports.apple_server import AppleServer, Request, Told
from tests.notifications.transports.certificates import Certificate

TOKEN = "ab" * 32
PHONE = Address(app="default", kind=AddressKind.APNS_TOKEN, address=TOKEN)
HELLO = Message(title="Hello", body="there", collapse_id="c-1")

pytestmark = pytest.mark.django_db


@pytest.mark.once
@pytest.mark.parametrize(
    "message",
    [
        HELLO,
        Message(title="x", url="/o", data={"k": "v"}, ack_url="https://x/a", urgent=True, ttl=timedelta(0)),
        Message(title="x", silent=True, urgent=True, collapse_id="ü" * 64),
        Message(title="x", collapse_id="c" * 64, ttl=timedelta(days=10_000)),
    ],
)
def test_a_strict_apple_has_nothing_to_complain_of(apple: AppleServer, apple_carrier: apns.Apns, message: Message):
    """Headers, token and payload."""
    answer = apple_carrier.send(message, PHONE)
    assert (answer.verdict, answer.provider_id) == (Verdict.ACCEPTED, "EC1BF194-B3B2-424A-89A9-5A918A6E6B5D")
    (request,) = apple.requests
    assert request.headers["apns-push-type"] == ("background" if message.silent else "alert")
    assert request.headers["apns-priority"] == ("10" if message.urgent and not message.silent else "5")
    left = int(request.headers["apns-expiration"]) - time.time()
    assert int(request.headers["apns-expiration"]) == 0 if not message.ttl else left > message.ttl.total_seconds() - 60
    assert request.payload.get("ack_url", "") == message.ack_url
    assert request.payload.get("data", {}) == message.data


@pytest.mark.once
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=1500), st.text(max_size=64), st.dictionaries(st.text(max_size=9), st.text(max_size=900)))
def test_hostile_text_arrives_or_is_refused(
    apple: AppleServer, apple_carrier: apns.Apns, body: str, collapse_id: str, data: dict[str, str]
):
    """Any characters, any collapse id: taken by Apple's own rules, or never sent because it would be too large."""
    apple.requests.clear()
    answer = apple_carrier.send(Message(title="x", body=body, collapse_id=collapse_id, data=data), PHONE)
    if answer.verdict is Verdict.FAULT:
        assert (answer.status, apple.requests) == ("size", [])
        return
    assert answer.verdict is Verdict.ACCEPTED, answer
    assert apple.requests[0].payload["aps"]["alert"]["body"] == body.encode(errors="replace").decode()


@pytest.mark.once
def test_a_bad_token_is_tried_once_in_the_other_environment(
    apple: AppleServer, sandbox: AppleServer, apple_carrier: apns.Apns
):
    """Taken there: accepted, and the answer says where the address belongs. Unknown in both: dead."""
    apple.tell = lambda _: Told(400, "BadDeviceToken")
    answer = apple_carrier.send(HELLO, PHONE)
    assert (answer.verdict, answer.extra) == (Verdict.ACCEPTED, {"environment": "sandbox"})
    sandbox.tell = lambda _: Told(400, "BadDeviceToken")
    assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.INVALIDATE
    sandbox.tell = lambda _: Told(500, "InternalServerError")
    assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.RETRY
    assert (len(apple.requests), len(sandbox.requests)) == (3, 3)

    there = Address(app="default", kind=AddressKind.APNS_TOKEN, address=TOKEN, environment=Environment.SANDBOX)
    sandbox.tell = lambda _: Told()
    assert apple_carrier.send(HELLO, there).extra == {}
    assert len(apple.requests) == 3


@pytest.mark.once
def test_one_connection_serves_a_thread(apple: AppleServer, apple_carrier: apns.Apns):
    """Twenty pushes; empty bodies and empty frames among them."""
    for number in range(20):
        do = ("answer", "empty", "empty frame")[number % 3]
        apple.tell = lambda _, do=do: Told(200, do=do)
        assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.ACCEPTED
    assert apple.connections == 1


@pytest.mark.once
def test_an_error_without_a_body_is_over_at_once(apple: AppleServer, apple_carrier: apns.Apns):
    """aioapns waits for ever here."""
    apple.tell = lambda _: Told(503, "ServiceUnavailable", do="empty")
    began = time.monotonic()
    assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.RETRY
    apple.tell = lambda _: Told(do="reset")
    assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.UNCERTAIN
    assert time.monotonic() - began < 6


@pytest.mark.once
def test_silence_is_over_when_the_time_is_up(
    apple: AppleServer, apple_carrier: apns.Apns, monkeypatch: pytest.MonkeyPatch
):
    """And however often it happens, the next push finds a connection (httpcore2 keeps failed ones in its pool)."""
    assert wire.SEND_SECONDS <= 10
    monkeypatch.setattr(wire, "SEND_SECONDS", 0.15)
    apple.tell = lambda _: Told(do="silence")
    for _ in range(wire.CONNECTIONS + 2):
        answer = apple_carrier.send(HELLO, PHONE)
        assert (answer.verdict, answer.status) == (Verdict.UNCERTAIN, "timeout")
    monkeypatch.setattr(wire, "SEND_SECONDS", 10.0)
    apple.tell = lambda _: Told()
    assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.ACCEPTED


@pytest.mark.once
@pytest.mark.parametrize(
    "told", [Told(do="refuse"), Told(do="goaway", last_stream=0), Told(do="goaway", last_stream=1)]
)
def test_what_was_provably_not_processed_goes_out_at_once(apple: AppleServer, apple_carrier: apns.Apns, told: Told):
    """Refused, or above the last stream of a GOAWAY: on a fresh connection, within the same attempt."""
    hits: list[int] = []

    def tell(request: Request) -> Told:
        hits.append(request.stream)
        return told if len(hits) == 2 else Told()

    apple.tell = tell
    assert [apple_carrier.send(HELLO, PHONE).verdict for _ in range(3)] == [Verdict.ACCEPTED] * 3
    assert (len(hits), apple.connections) == (4, 2)


@pytest.mark.once
def test_a_goaway_that_covers_the_push_leaves_it_uncertain(apple: AppleServer, apple_carrier: apns.Apns):
    """Apple says it may have processed that stream: it is not repeated blindly."""
    apple.tell = lambda _: Told(do="goaway", last_stream=1)
    answer = apple_carrier.send(HELLO, PHONE)
    assert answer.verdict is Verdict.UNCERTAIN
    assert len(apple.requests) == 1


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_goaway_with_twenty_one_in_flight_loses_none(apple: AppleServer, apple_carrier: apns.Apns):
    """Each push's first connection is ended while it is under way; all arrive, without a second attempt."""
    barrier = threading.Barrier(21)
    ended: set[str] = set()
    verdicts: list[Verdict] = []

    def tell(request: Request) -> Told:
        if request.path in ended:
            return Told()
        ended.add(request.path)
        return Told(do="goaway", last_stream=0)

    apple.tell = tell
    apns.provider_token(now=timezone.now())

    def hand(number: int) -> None:
        barrier.wait(20)
        phone = Address("default", AddressKind.APNS_TOKEN, f"{number:064x}")
        verdicts.append(apple_carrier.send(HELLO, phone).verdict)
        apple_carrier.close()
        connections.close_all()

    threads = [threading.Thread(target=hand, args=(number,)) for number in range(21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert collections.Counter(verdicts) == {Verdict.ACCEPTED: 21}
    assert len(ended) == 21


def test_a_token_lives_45_minutes_and_is_signed_once(apple: AppleServer, apple_carrier: apns.Apns):
    """In no 40 minutes are two signed, whatever is forgotten in between."""
    now = timezone.now()
    signed: list[tuple[int, str]] = []
    for minute in range(0, 181, 5):
        with time_machine.travel(now + timedelta(minutes=minute), tick=False):
            tokens.forget()
            assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.ACCEPTED
        token = apple.requests[-1].headers["authorization"]
        if not signed or signed[-1][1] != token:
            signed.append((minute, token))
    assert [minute for minute, _ in signed] == [0, 45, 90, 135, 180]
    assert len(apple.tokens_seen) == 5


def test_an_expired_token_is_signed_anew_once(apple: AppleServer, apple_carrier: apns.Apns):
    """Apple's clock is ahead of ours: after 20 minutes a new one may be made; a younger one stops the lane."""
    now = timezone.now()
    apple_carrier.send(HELLO, PHONE)
    old = apple.requests[-1].headers["authorization"]
    expired = Told(403, "ExpiredProviderToken")
    apple.tell = lambda request: expired if request.headers["authorization"] == old else Told()
    with time_machine.travel(now + timedelta(minutes=10), tick=False):
        answer = apple_carrier.send(HELLO, PHONE)
        assert (answer.verdict, len(apple.tokens_seen)) == (Verdict.STOP, 1)
    with time_machine.travel(now + timedelta(minutes=21), tick=False):
        assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.ACCEPTED
        assert len(apple.tokens_seen) == 2
        apple.tell = lambda _: expired
        assert apple_carrier.send(HELLO, PHONE).verdict is Verdict.STOP
        assert len(apple.tokens_seen) == 2


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_four_processes_and_a_thousand_pushes_need_one_signature(
    apple: AppleServer,
    apple_settings: dict[str, Any],
    certificate: Certificate,
    child_environment: dict[str, str],
):
    """Each process finds out for itself; Apple sees one token."""
    given = {**apple_settings, "APNS_API_BASE": apple.url, "PRIVATE_HOSTS_ALLOWED": ["localhost"]}
    command = [sys.executable, "-m", "tests.notifications.transports.sender", "--settings", json.dumps(given)]
    environment = {**child_environment, "SSL_CERT_FILE": str(certificate.certificate)}
    workers = [
        subprocess.Popen(
            [*command, "--pushes", "250"],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        told = [json.loads(worker.communicate(timeout=200)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert told == [{"accepted": 250}] * 4
    assert len(apple.requests) == 1000
    assert len(apple.tokens_seen) == 1
    assert Credential.objects.count() == 1


@pytest.mark.once
def test_half_a_setting_is_none(apple: AppleServer, apple_carrier: apns.Apns, settings: Settings):
    """Nothing is sent, and the lane stops."""
    for name in ("APNS_KEY", "APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC"):
        kept = getattr(settings, name)
        setattr(settings, name, "")
        assert apple_carrier.send(HELLO, PHONE).lane_reason == "not set up"
        assert apple_carrier.credential(PHONE) == ""
        setattr(settings, name, kept)
    assert len(apple_carrier.credential(PHONE)) == 22
    assert apple.requests == []
