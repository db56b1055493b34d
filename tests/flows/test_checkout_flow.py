"""Flow 5: rate limit → idempotency key → Stripe with a 15 s limit → session → paid; and what the customer is told."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import User

from payments.models import Order, Product
from payments.states import Status
from queues.email.models import EmailMessage
from tests.fake_stripe import FakeStripe
from tests.payments.delivery import deliver, drain
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v1/checkout/"
WISH = {"items": [{"sku": "ticket", "quantity": 2}]}


@pytest.fixture
def caller(customer: User) -> Program:
    return Program(user=customer)


def test_from_the_basket_to_the_receipt(caller: Program, stripe: FakeStripe, products: dict[str, Product]):
    begun = caller.post(PATH, WISH, key="basket-1")
    assert begun.status_code == 201
    assert caller.post(PATH, WISH, key="basket-1").json() == begun.json(), "a double click"
    assert len(stripe.objects("checkout.session")) == 1

    stripe.act("pay", begun.json()["session_id"])
    deliver(stripe.events())
    drain()
    order = Order.objects.get()
    assert (order.status, order.amount_paid, order.reference) == (Status.PAID, 5000, begun.json()["order"])
    receipt = EmailMessage.objects.get()
    assert (receipt.recipient, receipt.metadata) == ("carla@example.com", {"order": order.reference})
    assert caller.post(PATH, WISH, key="basket-1").json()["status"] == "paid"

    for _ in range(7):
        assert caller.post(PATH, WISH).status_code == 201
    refused = caller.post(PATH, WISH)
    assert (refused.status_code, problem(refused)["code"]) == (429, "throttled")
    assert int(refused.headers["Retry-After"]) > 0


@pytest.mark.slow
def test_stripe_takes_longer_than_fifteen_seconds(caller: Program, stripe: FakeStripe, products: dict[str, Product]):
    stripe.fault("POST /v1/checkout/sessions", "hang")
    begun = time.monotonic()
    response = caller.post(PATH, WISH, key="basket-1")
    assert 14 <= time.monotonic() - begun < 17
    assert (response.status_code, problem(response)["code"]) == (504, "stripe_timeout")
    assert "card has not been charged" in problem(response)["detail"]
    assert "rying again is safe" in problem(response)["detail"]
    again = caller.post(PATH, WISH, key="basket-1")
    assert again.status_code == 201
    (session,) = stripe.objects("checkout.session")
    assert again.json()["session_id"] == session["id"]
