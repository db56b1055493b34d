"""Workers killed while they book a payment: the order is paid once, and one receipt is enqueued."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from payments.models import Order
from payments.states import Status
from queues.email.models import EmailMessage
from tests.conftest import ROOT
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy
from tests.payments.delivery import deliver, drain
from tests.queues.engine.threads import together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.mark.parametrize("moment", ["effect", "committed"])
def test_kill_9_around_the_effect(moment: str, stripe: FakeStripe, buy: Buy, child_environment: dict[str, str]):
    order = buy()
    stripe.act("pay", order.session_id)
    deliver(stripe.events("checkout.session.completed"))
    line = [sys.executable, "-m", "tests.payments.hanging_worker", moment]
    child = subprocess.Popen(line, cwd=ROOT, env=child_environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    assert child.stdout.readline() == b"here\n"
    child.kill()
    child.communicate()
    order.refresh_from_db()
    assert order.status == (Status.PENDING if moment == "effect" else Status.PAID)
    drain(after=timedelta(seconds=31))
    deliver(stripe.events())
    drain(after=timedelta(minutes=2))
    order.refresh_from_db()
    assert (order.status, order.amount_paid) == (Status.PAID, 2500)
    assert EmailMessage.objects.filter(kind="order_receipt").count() == 1


def test_several_workers_at_once_and_every_event_three_times(stripe: FakeStripe, buy: Buy):
    bought = [buy("ticket", 2) for _ in range(4)]
    for order in bought:
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        stripe.act("create_refund", {"payment_intent": intent, "amount": 1000})
        stripe.act("create_refund", {"payment_intent": intent, "amount": 500})
    events = stripe.events()
    deliver([*events, *reversed(events), *events])
    together(*[drain] * 3)
    drain(after=timedelta(minutes=2))
    for order in bought:
        order.refresh_from_db()
        assert (order.status, order.amount_refunded) == (Status.PARTIALLY_REFUNDED, 1500)
    assert EmailMessage.objects.filter(kind="order_receipt").count() == 4
    assert EmailMessage.objects.filter(kind="order_refund").count() == 8
    assert Order.objects.count() == 4
