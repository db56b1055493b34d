"""Orders that nobody paid in time: Stripe is asked before anything is closed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from payments import checkout, expiry
from payments.models import Order, Problem
from payments.states import Status
from queues.email.models import EmailMessage
from queues.webhooks import stripe_api
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=1, minutes=5)


def expire(*, after: timedelta = LATER) -> int:
    return expiry.expire_due(now=timezone.now() + after)


def status(order: Order) -> str:
    order.refresh_from_db()
    return order.status


def test_not_before_its_time(stripe: FakeStripe, buy: Buy):
    order = buy()
    assert expire(after=timedelta(minutes=61)) == 0
    assert status(order) == Status.PENDING


def test_an_open_session_is_closed_at_stripe_first(stripe: FakeStripe, buy: Buy):
    order = buy()
    assert expire() == 1
    assert status(order) == Status.EXPIRED
    assert stripe.objects("checkout.session")[0]["status"] == "expired"
    tell(stripe.events())
    assert status(order) == Status.EXPIRED
    assert not Problem.objects.exists()


def test_a_payment_whose_event_is_late_is_found(stripe: FakeStripe, buy: Buy):
    order = buy()
    stripe.act("pay", order.session_id)
    expire()
    assert status(order) == Status.PAID
    tell(stripe.events())
    assert not Problem.objects.exists()
    assert EmailMessage.objects.count() == 1


def test_slow_money_is_not_expired(stripe: FakeStripe, buy: Buy):
    order = buy()
    stripe.act("pay_slowly", order.session_id)
    assert expire() == 1
    assert status(order) == Status.PENDING
    assert expire() == 0
    stripe.act("arrive", order.session_id)
    tell(stripe.events())
    assert status(order) == Status.PAID


def test_a_session_we_never_heard_of_is_found_and_closed(stripe: FakeStripe, buy: Buy):
    stripe.fault("POST /v1/checkout/sessions", "cut")
    with pytest.raises(stripe_api.TimedOut):
        buy()
    order = Order.objects.get()
    assert not order.session_id
    expire()
    assert status(order) == Status.EXPIRED
    assert stripe.objects("checkout.session")[0]["status"] == "expired"


def test_stripe_does_not_answer(stripe: FakeStripe, buy: Buy):
    order = buy()
    stripe.fault("GET /v1/checkout", "503")
    assert expire() == 0
    assert status(order) == Status.PENDING
    assert expire() == 1


def test_without_stripe_nothing_is_decided(stripe: FakeStripe, buy: Buy, settings: Settings):
    order = buy()
    settings.STRIPE_API_KEY = ""
    assert expire() == 0
    assert status(order) == Status.PENDING


def test_the_references_are_not_to_be_guessed():
    drawn = {checkout.reference() for _ in range(1000)}
    assert len(drawn) == 1000
    assert all(len(each) == 12 for each in drawn)
