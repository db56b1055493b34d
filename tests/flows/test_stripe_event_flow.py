"""Flow 2: POST → signature → stored once → 200 → handlers with the ack, all or nothing → order paid, mail enqueued."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from payments import mails
from payments.models import Order
from payments.states import Status
from queues.email.models import EmailMessage
from queues.engine import registry
from queues.engine import states as engine
from queues.engine.attempts import Attempt
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy
from tests.payments.delivery import PATH, deliver, drain, signature

pytestmark = pytest.mark.django_db(transaction=True)


def events() -> Any:
    return registry.get("webhook").model._default_manager


@pytest.fixture
def paid(stripe: FakeStripe, buy: Buy, customer: User) -> Order:
    """Paid at Stripe; we have not been told yet."""
    order = buy()
    stripe.act("pay", order.session_id)
    return order


def test_stored_once_handled_once(paid: Order, stripe: FakeStripe):
    deliver(stripe.events() * 3)
    assert events().count() == 2
    assert Order.objects.get().status == Status.PENDING, "nothing is done while Stripe waits for the answer"
    drain()
    assert set(events().values_list("status", flat=True)) == {engine.Status.SUCCEEDED}
    assert Order.objects.get().status == Status.PAID
    assert EmailMessage.objects.count() == 1
    deliver(stripe.events())
    drain()
    assert EmailMessage.objects.count() == 1


def test_not_authentic_nothing_stored(paid: Order, stripe: FakeStripe):
    body = json.dumps(stripe.events()[0]).encode()
    signed = signature(body)
    for sent, header in ((body.replace(b"2500", b"2501"), signed), (body, "t=1,v1=00"), (body, "")):
        headers = {"Stripe-Signature": header}
        response = Client().post(PATH, sent, content_type="application/json", headers=headers)
        assert response.status_code == 400
    assert not events().exists()


def test_a_failure_takes_back_everything_and_is_tried_again(
    paid: Order,
    stripe: FakeStripe,
    monkeypatch: pytest.MonkeyPatch,
):
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no mail today")

    deliver(stripe.events("checkout.session.completed"))
    with monkeypatch.context() as patched:
        patched.setattr(mails.emails, "enqueue", broken)
        drain()
    item = events().get()
    assert item.status == engine.Status.RETRYING
    assert "no mail today" in item.last_words
    assert Order.objects.get().status == Status.PENDING
    assert timedelta(seconds=50) < item.due_at - Attempt.objects.get(queue="webhook").started_at < timedelta(seconds=70)
    drain(after=timedelta(seconds=70))
    assert Order.objects.get().status == Status.PAID
    assert EmailMessage.objects.count() == 1


def test_dead_after_five_retries_then_redriven(
    paid: Order,
    stripe: FakeStripe,
    monkeypatch: pytest.MonkeyPatch,
):
    deliver(stripe.events("checkout.session.completed"))
    passed = timedelta()
    with monkeypatch.context() as patched:
        patched.setattr(mails, "receipt", lambda *_, **__: 1 / 0)
        for minutes in (0, 2, 6, 31, 121, 24 * 60 + 1):
            passed += timedelta(minutes=minutes)
            drain(after=passed)
    item = events().get()
    assert (item.status, item.attempts) == (engine.Status.DEAD_LETTER, 6)
    assert "ZeroDivisionError" in item.last_code + item.last_words
    assert Order.objects.get().status == Status.PENDING
