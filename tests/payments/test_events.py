"""What events do to orders: once each, in whatever order, however often."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from payments import orders
from payments.models import Dispute, Order, Problem
from payments.states import Status
from queues.email.models import EmailMessage
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell
from tests.payments.histories import MANY, again, buy_once, fresh, outcome

pytestmark = pytest.mark.django_db


class TestPaying:
    def test_paid_and_receipt_once_though_two_events_say_so(self, stripe: FakeStripe, buy: Buy):
        order = buy("ticket", 2)
        stripe.act("pay", order.session_id)
        assert [each["type"] for each in stripe.events()] == ["payment_intent.succeeded", "checkout.session.completed"]
        tell(stripe.events() * 3)
        row = fresh(order)
        assert (row.status, row.amount_paid) == (Status.PAID, 5000)
        (mail,) = EmailMessage.objects.all()
        assert (mail.recipient, mail.kind) == ("carla@example.com", "order_receipt")
        assert "50.00 EUR" in mail.text

    def test_the_receipt_and_the_payment_are_one(self, stripe: FakeStripe, buy: Buy, monkeypatch: pytest.MonkeyPatch):
        order = buy()
        stripe.act("pay", order.session_id)

        def broken(*_: Any, **__: Any) -> None:
            raise RuntimeError("no mail today")

        with monkeypatch.context() as patched:
            patched.setattr("payments.mails.emails.enqueue", broken)
            with pytest.raises(RuntimeError):
                tell(stripe.events())
        assert fresh(order).status == Status.PENDING
        tell(stripe.events())
        assert fresh(order).status == Status.PAID
        assert EmailMessage.objects.count() == 1

    def test_an_address_nobody_can_write_to_does_not_keep_the_money_from_being_booked(
        self, stripe: FakeStripe, buy: Buy
    ):
        order = buy()
        Order.objects.filter(pk=order.pk).update(email="not an address")
        stripe.act("pay", order.session_id)
        tell(stripe.events())
        assert fresh(order).status == Status.PAID
        assert not EmailMessage.objects.exists()

    def test_slow_money_is_waited_for_and_comes(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("pay_slowly", order.session_id)
        tell(stripe.events())
        assert fresh(order).processing_at
        assert fresh(order).status == Status.PENDING
        stripe.act("arrive", order.session_id)
        tell(stripe.events())
        assert fresh(order).status == Status.PAID

    def test_slow_money_that_bounces(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("pay_slowly", order.session_id)
        stripe.act("bounce", order.session_id)
        for events in itertools.permutations(stripe.events()):
            again(order)
            tell(events)
            assert fresh(order).status == Status.CANCELED
        assert "debited" in fresh(order).last_error

    def test_a_declined_card_leaves_the_checkout_open(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("decline", order.session_id)
        tell(stripe.events())
        assert (fresh(order).status, fresh(order).last_error) == (Status.PENDING, "Your card was declined.")
        stripe.act("pay", order.session_id)
        tell(stripe.events())
        assert (fresh(order).status, fresh(order).last_error) == (Status.PAID, "")

    @MANY
    @given(data=st.data())
    def test_a_declined_card_told_late_changes_nothing(self, stripe: FakeStripe, buy: Buy, data: st.DataObject):
        order = buy_once(stripe, buy, "decline", "pay")
        again(order)
        tell(data.draw(st.permutations(stripe.events())))
        assert outcome(order)["status"] == Status.PAID
        assert outcome(order)["mails"] == ["order_receipt"]
        assert fresh(order).charge == stripe.objects("charge")[0]["id"]

    def test_yen_are_not_hundredths(self, stripe: FakeStripe, buy: Buy):
        order = buy("sake", 2)
        stripe.act("pay", order.session_id)
        tell(stripe.events())
        assert fresh(order).amount_paid == 2400
        assert "2,400 JPY" in EmailMessage.objects.get().text

    def test_what_is_not_ours_is_left_alone(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("pay", order.session_id)
        events = stripe.events()
        for event in events:
            event["data"]["object"]["metadata"] = {"order": order.reference}
        tell(events)
        assert fresh(order).status == Status.PENDING
        assert not Problem.objects.exists()

    def test_a_connected_account_cannot_pay_itself_for_our_order(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        stripe.act("create_refund", {"payment_intent": intent, "metadata": {"redrive_order": order.reference}})
        stripe.act("decide", stripe.act("dispute", intent)["id"], won=False)
        events = [event | {"account": "acct_of_the_customer"} for event in stripe.events()]
        assert {each["type"].split(".")[0] for each in events} == {"payment_intent", "checkout", "refund", "charge"}
        tell(events)
        assert (fresh(order).status, fresh(order).amount_refunded) == (Status.PENDING, 0)
        assert not Problem.objects.exists()
        assert not Dispute.objects.exists()
        assert not stripe.requests("GET /v1/")
        tell(stripe.events())
        assert fresh(order).status == Status.DISPUTED


class TestPaidTooLate:
    def test_a_payment_for_an_expired_order_is_a_problem_not_swallowed(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("pay", order.session_id)
        with transaction.atomic():
            held = orders.locked(order.reference)
            assert held is not None
            orders.expire(held, now=timezone.now())
        tell(stripe.events() * 2)
        assert fresh(order).status == Status.EXPIRED
        (problem,) = Problem.objects.all()
        assert (problem.kind, problem.amount, problem.order) == (Problem.Kind.LATE, 2500, order)
        assert not EmailMessage.objects.exists()
        stripe.act("create_refund", {"payment_intent": problem.payment_intent})
        tell(stripe.events())
        problem.refresh_from_db()
        assert problem.resolved_at
        assert problem.resolution == "refunded"
        assert fresh(order).status == Status.EXPIRED
        assert fresh(order).amount_refunded == 0
        assert [mail.kind for mail in EmailMessage.objects.all()] == ["order_refund"]

    def test_a_payment_of_another_amount(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("pay", order.session_id)
        Order.objects.filter(pk=order.pk).update(amount=9900)
        tell(stripe.events())
        assert fresh(order).status == Status.PENDING
        assert Problem.objects.get().kind == Problem.Kind.MISMATCH

    def test_a_second_payment(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("pay", order.session_id)
        tell(stripe.events())
        event = stripe.events("payment_intent.succeeded")[0]
        event["data"]["object"]["id"] = "pi_other"
        tell([event])
        assert fresh(order).amount_paid == 2500
        assert Problem.objects.get().kind == Problem.Kind.TWICE

    def test_a_payment_for_an_order_we_do_not_have(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        stripe.act("pay", order.session_id)
        Order.objects.all().delete()
        tell(stripe.events() * 2)
        (problem,) = Problem.objects.all()
        assert problem.kind == Problem.Kind.UNKNOWN
        stripe.act("create_refund", {"payment_intent": problem.payment_intent})
        tell(stripe.events())
        problem.refresh_from_db()
        assert problem.resolved_at


def test_the_clock_of_the_session_and_ours_agree(stripe: FakeStripe, buy: Buy):
    order = buy()
    (session,) = stripe.objects("checkout.session")
    assert abs(session["expires_at"] - order.expires_at.timestamp()) < 1
    assert timedelta(minutes=59) < order.expires_at - timezone.now() <= timedelta(hours=1)
