"""Calls to Stripe: what each answer means, that none lasts, and that an outage is left alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import stripe
from django.utils import timezone
from pytest_django import Settings

from queues.engine import breaker
from queues.engine.outcomes import Outcome, Permanent, Transient, Uncertain
from queues.webhooks import stripe_api, stripe_http
from tests.queues.webhooks.stripe_stub import Stub

pytestmark = pytest.mark.django_db

PATH = "/v1/refunds"


def refund(key: str = "refund:1") -> Any:
    return stripe_api.call(
        lambda client: client.v1.refunds.create(params={"charge": "ch_1"}), idempotency_key=key, account="acct_1"
    )


def outcome_of(do: Callable[[], Any]) -> Outcome:
    with pytest.raises(Outcome) as caught:
        do()
    return caught.value


def test_a_call_carries_its_key_account_and_nothing_about_this_machine(stub: Stub):
    stub.objects[PATH] = {"id": "re_1", "object": "refund"}
    assert refund().id == "re_1"
    assert refund().id == "re_1"
    first, second = stub.asked
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] == "refund:1"
    assert first.headers["Stripe-Account"] == "acct_1"
    assert first.headers["Authorization"] == "Bearer sk_test_stub"
    assert first.body == "charge=ch_1"
    assert "X-Stripe-Client-Telemetry" not in second.headers
    assert "telemetry_id" not in first.headers["X-Stripe-Client-User-Agent"]


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, {"code": "parameter_missing"}, stripe_api.Refused, "stripe 400 parameter_missing"),
        (401, {}, stripe_api.NotSetUp, "stripe 401"),
        (402, {"code": "card_declined"}, stripe_api.Declined, "stripe 402 card_declined"),
        (403, {}, stripe_api.Refused, "stripe 403"),
        (404, {"code": "resource_missing"}, stripe_api.NotFound, "stripe 404 resource_missing"),
        (409, {"code": "idempotency_key_in_use"}, stripe_api.Busy, "stripe 409"),
        (400, {"type": "idempotency_error"}, stripe_api.Refused, "stripe 400"),
        (400, {"code": "rate_limit"}, stripe_api.Busy, "stripe 400"),
        (429, {}, stripe_api.Busy, "stripe 429"),
        (500, {}, stripe_api.Unavailable, "stripe 500"),
        (503, {}, stripe_api.Unavailable, "stripe 503"),
        (302, {}, stripe_api.Unavailable, "stripe 302"),
    ],
)
def test_what_an_answer_means(status: int, error: dict[str, Any], kind: type[Outcome], code: str, stub: Stub):
    stub.faults[PATH] = [(status, {"Retry-After": "9", "Request-Id": "req_7"}, {"error": {"message": "No.", **error}})]
    outcome = outcome_of(refund)
    assert type(outcome) is kind
    assert outcome.code == code
    assert "No." in outcome.words or status == 302
    assert "req_7" in outcome.words or status == 302
    if isinstance(outcome, Transient) and status in (429, 503):
        assert outcome.retry_after == timedelta(seconds=9)
    if isinstance(outcome, stripe_api.Refused):
        assert isinstance(outcome, Permanent)
        assert outcome.status == status
    assert len(stub.asked) == 1, "no retries of the library's own"


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"", b"[]", b"null"])
def test_garbage_is_an_outage(body: bytes, stub: Stub):
    stub.faults[PATH] = [(502, {}, body)]
    assert isinstance(outcome_of(refund), stripe_api.Unavailable)


def test_nobody_there_is_an_outage_and_certainly_not_done(stub: Stub, settings: Settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings.STRIPE_API_BASE = f"http://127.0.0.1:{taken.getsockname()[1]}"
        outcome = outcome_of(refund)
    assert isinstance(outcome, stripe_api.Unavailable)
    assert not isinstance(outcome, Uncertain)
    assert outcome.code == "stripe connect"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Calls end after 0.4 s instead of 15."""
    client = stripe_http.Client(call_seconds=0.4)
    stripe_api._client.cache_clear()
    monkeypatch.setattr(stripe_api, "_http", lambda: client)
    yield
    stripe_api._client.cache_clear()


def talk(answer: Callable[[socket.socket, threading.Event], None]) -> tuple[str, threading.Event]:
    """A server for one connection."""
    server, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        peer, _ = server.accept()
        with peer, server:
            peer.recv(65_536)
            try:
                answer(peer, over)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}", over


def silent(peer: socket.socket, over: threading.Event) -> None:
    over.wait(20)


def dripping_headers(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.wait(0.1):
        peer.sendall(b"X-More: 1\r\n")


def dripping_body(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
    while not over.wait(0.1):
        peer.sendall(b" ")


def cut_off(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")


def closing(peer: socket.socket, over: threading.Event) -> None:
    peer.sendall(b"")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("answer", [silent, dripping_headers, dripping_body, cut_off, closing])
def test_what_was_sent_and_not_answered_is_uncertain_and_does_not_last(
    answer: Callable[[socket.socket, threading.Event], None], settings: Settings
):
    settings.STRIPE_API_KEY = "sk_test_x"
    settings.STRIPE_API_BASE, over = talk(answer)
    begun = time.monotonic()
    outcome = outcome_of(refund)
    over.set()
    assert isinstance(outcome, stripe_api.TimedOut)
    assert time.monotonic() - begun < 2
    assert breaker.Breaker.objects.get(name="stripe").failures == 1


@pytest.mark.usefixtures("quick")
def test_a_read_without_an_answer_leaves_nothing_uncertain(settings: Settings):
    settings.STRIPE_API_KEY = "sk_test_x"
    settings.STRIPE_API_BASE, over = talk(silent)
    outcome = outcome_of(lambda: stripe_api.get("/v1/charges/ch_1"))
    over.set()
    assert isinstance(outcome, Transient)
    assert not isinstance(outcome, Uncertain)


def test_five_outages_open_the_breaker_and_one_probe_closes_it(stub: Stub, monkeypatch: pytest.MonkeyPatch):
    stub.fail(PATH, 503, times=5)
    stub.objects[PATH] = {"id": "re_1", "object": "refund"}
    for _ in range(5):
        outcome_of(refund)
    down = outcome_of(refund)
    assert isinstance(down, stripe_api.Down)
    assert not down.charged
    assert down.retry_after is not None
    assert timedelta(seconds=55) < down.retry_after <= timedelta(seconds=60)
    assert len(stub.asked) == 5, "while it is open nothing is sent"
    breaker.Breaker.objects.update(open_until=timezone.now())
    assert breaker.probing(name="stripe", now=timezone.now()), "another worker probes"
    assert isinstance(outcome_of(refund), stripe_api.Down)
    breaker.Breaker.objects.update(open_until=timezone.now())
    assert refund().id == "re_1"
    assert refund().id == "re_1"
    assert len(stub.asked) == 7


def test_declines_and_bad_requests_are_no_outage(stub: Stub):
    for status in (400, 402, 404, 429, 409):
        stub.fail(PATH, status, times=2)
    for _ in range(10):
        outcome_of(refund)
    assert not breaker.Breaker.objects.filter(open_until__isnull=False).exists()


def test_an_answer_of_any_kind_ends_a_row_of_failures(stub: Stub):
    for _ in range(3):
        stub.fail(PATH, 503, times=4)
        stub.fail(PATH, 402)
    for _ in range(15):
        outcome_of(refund)
    assert not isinstance(outcome_of(refund), stripe_api.Down)


def test_reads_are_throttled_for_all_workers_together(stub: Stub, settings: Settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "stripe.read": (5, 1)}
    stub.objects["/v1/charges/ch_1"] = {"id": "ch_1"}
    begun = time.monotonic()
    for _ in range(12):
        stripe_api.get("/v1/charges/ch_1")
    assert time.monotonic() - begun > 1.9, "12 reads at 5 a second take two windows"
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "stripe.read": (0, 1)}
    before = len(stub.asked)
    busy = outcome_of(lambda: stripe_api.get("/v1/charges/ch_1"))
    assert isinstance(busy, stripe_api.Busy)
    assert not busy.charged
    assert len(stub.asked) == before


@pytest.mark.parametrize(
    "path", ["http://evil.example/v1/x", "//evil/v1/x", "/v1/../x", "/v1/a b", "", "/v3/x", "/v1/x\n"]
)
def test_only_stripes_own_paths_are_read(path: str, stub: Stub):
    assert isinstance(outcome_of(lambda: stripe_api.get(path)), Permanent)
    assert stub.asked == []


def test_a_bug_of_the_caller_is_not_hidden(stub: Stub):
    with pytest.raises(ZeroDivisionError):
        stripe_api.call(lambda client: 1 / 0)


def test_the_key_may_change_while_we_run(stub: Stub, settings: Settings):
    stub.objects[PATH] = {"id": "re_1", "object": "refund"}
    refund()
    settings.STRIPE_API_KEY = "sk_test_rolled"
    refund()
    assert [asked.headers["Authorization"] for asked in stub.asked] == ["Bearer sk_test_stub", "Bearer sk_test_rolled"]


def test_a_connection_that_the_server_closed_meanwhile_is_no_outage(stub: Stub):
    stub.objects[PATH] = {"id": "re_1", "object": "refund"}
    stub.faults[PATH] = [(200, {"Connection": "close"}, {"id": "re_1", "object": "refund"})]
    for _ in range(3):
        assert isinstance(refund(), stripe.Refund)
