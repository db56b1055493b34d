"""What events do to orders: once each, in whatever order, however often."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments import orders
from payments.models import Dispute, Order, Problem, Refund
from payments.states import Status
from queues.email.models import EmailMessage
from queues.engine.outcomes import Transient
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell

pytestmark = pytest.mark.django_db

MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fresh(order: Order) -> Order:
    return Order.objects.get(pk=order.pk)


def again(order: Order) -> None:
    """As if no event had come yet."""
    for model in (Refund, Dispute, Problem, EmailMessage):
        model._default_manager.all().delete()
    Order.objects.filter(pk=order.pk).update(
        status="pending",
        paid_at=None,
        expired_at=None,
        canceled_at=None,
        processing_at=None,
        amount_paid=0,
        amount_refunded=0,
        payment_intent="",
        charge="",
        last_error="",
    )


def outcome(order: Order) -> dict[str, Any]:
    """What must not depend on the order of events."""
    row = fresh(order)
    return {
        "status": row.status,
        "paid": row.amount_paid,
        "refunded": row.amount_refunded,
        "refunds": sorted(Refund.objects.values_list("stripe_id", "amount", "state")),
        "disputes": [(each.stripe_id, each.state, each.funds) for each in Dispute.objects.all()],
        "problems": list(Problem.objects.values_list("key", flat=True)),
        "mails": sorted(EmailMessage.objects.values_list("kind", flat=True)),
    }


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


_bought: dict[str, Order] = {}


def buy_once(stripe: FakeStripe, buy: Buy, *acts: str) -> Order:
    """The same order and events for every example of one test."""
    if not stripe.objects("checkout.session"):
        _bought["order"] = buy()
        for act in acts:
            stripe.act(act, _bought["order"].session_id)
    return _bought["order"]


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


class TestRefunds:
    @MANY
    @given(data=st.data())
    def test_partial_refunds_in_any_order_and_twice_are_booked_once_each(
        self, stripe: FakeStripe, buy: Buy, data: st.DataObject
    ):
        """Case 15 of the reference: 500 + 700 + 1300, with charge.refunded and refund.created side by side."""
        order = buy_once(stripe, buy, "pay")
        if not stripe.objects("refund"):
            intent = stripe.objects("payment_intent")[0]["id"]
            for amount in (500, 700, 1300):
                stripe.act("create_refund", {"payment_intent": intent, "amount": amount})
        again(order)
        drawn = data.draw(st.permutations(stripe.events()))
        seen = 0
        for event in [*drawn, *data.draw(st.lists(st.sampled_from(drawn), max_size=3))]:
            tell([event])
            assert seen <= (seen := fresh(order).amount_refunded) <= 2500
        found = outcome(order)
        assert (found["status"], found["refunded"]) == (Status.REFUNDED, 2500)
        assert sorted(amount for _, amount, _ in found["refunds"]) == [500, 700, 1300]
        assert found["mails"] == ["order_receipt", "order_refund", "order_refund", "order_refund"]

    @MANY
    @given(data=st.data())
    def test_everything_about_a_partly_refunded_order_in_any_order(
        self, stripe: FakeStripe, buy: Buy, data: st.DataObject
    ):
        order = buy_once(stripe, buy, "pay")
        if not stripe.objects("refund"):
            intent = stripe.objects("payment_intent")[0]["id"]
            stripe.act("create_refund", {"payment_intent": intent, "amount": 500})
            kept = stripe.act("create_refund", {"payment_intent": intent, "amount": 700})
            stripe.act("fail_refund", kept["id"])
        again(order)
        drawn = data.draw(st.permutations(stripe.events()))
        repeated = data.draw(st.lists(st.sampled_from(drawn), max_size=3))
        tell([*drawn, *repeated])
        found = outcome(order)
        assert (found["status"], found["paid"], found["refunded"]) == (Status.PARTIALLY_REFUNDED, 2500, 500)
        assert [(amount, state) for _, amount, state in sorted(found["refunds"], key=lambda each: each[1])] == [
            (500, "succeeded"),
            (700, "failed"),
        ]
        assert len(found["problems"]) == 1
        assert found["mails"].count("order_receipt") == 1

    def test_a_refund_that_fails_later_is_taken_back(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        refund = stripe.act("create_refund", {"payment_intent": intent})
        tell(stripe.events())
        assert fresh(order).status == Status.REFUNDED
        stripe.act("fail_refund", refund["id"])
        tell(stripe.events())
        assert (fresh(order).status, fresh(order).amount_refunded) == (Status.PAID, 0)
        assert Problem.objects.get().kind == Problem.Kind.REFUND_FAILED
        tell(stripe.events("refund.created"))
        assert fresh(order).amount_refunded == 0

    def test_an_old_charge_with_its_refunds_inside_needs_no_question(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        refund = stripe.act("create_refund", {"payment_intent": intent, "amount": 300})
        (event,) = stripe.events("charge.refunded")
        event["data"]["object"]["refunds"] = {"data": [refund], "has_more": False}
        tell([*stripe.events("checkout.session.completed"), event])
        assert fresh(order).amount_refunded == 300
        assert not stripe.requests("GET /v1/refunds")

    def test_a_refund_of_a_stranger_is_not_booked(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        stripe.act("create_refund", {"payment_intent": intent, "amount": 300})
        (event,) = stripe.events("refund.created")
        event["account"] = "acct_1"
        tell([event])
        assert not Refund.objects.exists()


class TestDisputes:
    @MANY
    @given(data=st.data())
    def test_won_in_any_order_ends_thawed_and_the_funds_back_once(
        self, stripe: FakeStripe, buy: Buy, data: st.DataObject
    ):
        """Case 16 of the reference."""
        order = buy_once(stripe, buy, "pay")
        if not stripe.objects("dispute"):
            intent = stripe.objects("payment_intent")[0]["id"]
            stripe.act("decide", stripe.act("dispute", intent)["id"], won=True)
        again(order)
        drawn = data.draw(st.permutations(stripe.events()))
        tell([*drawn, *data.draw(st.lists(st.sampled_from(drawn), max_size=3))])
        found = outcome(order)
        assert found["status"] == Status.PAID
        assert [each[1:] for each in found["disputes"]] == [("won", "reinstated")]

    def test_reversed_exactly(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        stripe.act("decide", stripe.act("dispute", intent)["id"], won=True)
        tell(reversed(stripe.events()))
        assert outcome(order)["status"] == Status.PAID
        assert outcome(order)["disputes"][0][1:] == ("won", "reinstated")

    def test_open_it_freezes_the_order_and_lost_it_stays_frozen(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        dispute = stripe.act("dispute", intent)
        tell(stripe.events())
        assert fresh(order).status == Status.DISPUTED
        stripe.act("decide", dispute["id"], won=False)
        for events in itertools.permutations(stripe.events("charge.dispute.updated", "charge.dispute.closed")):
            Dispute.objects.update(state="needs_response")
            tell(events)
            assert fresh(order).status == Status.DISPUTED
            assert Dispute.objects.get().state == "lost"
        assert Dispute.objects.get().funds == "withdrawn"
        assert Dispute.objects.get().closed_at

    def test_one_that_names_only_the_charge(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        stripe.act("dispute", intent)
        events = stripe.events("charge.dispute.created")
        for event in events:
            event["data"]["object"]["payment_intent"] = None
        tell([*events, *stripe.events("payment_intent.succeeded")])
        assert fresh(order).status == Status.DISPUTED


def test_the_clock_of_the_session_and_ours_agree(stripe: FakeStripe, buy: Buy):
    order = buy()
    (session,) = stripe.objects("checkout.session")
    assert abs(session["expires_at"] - order.expires_at.timestamp()) < 1
    assert timedelta(minutes=59) < order.expires_at - timezone.now() <= timedelta(hours=1)


class TestWhose:
    """Refunds and disputes that come before their payment was told."""

    def test_they_ask_stripe_once_and_not_in_a_transaction(self, stripe: FakeStripe, buy: Buy):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        stripe.act("create_refund", {"payment_intent": intent, "amount": 100})
        tell(stripe.events("refund.created"))
        assert len(stripe.requests(f"GET /v1/payment_intents/{intent}")) == 1
        assert Refund.objects.get().order == order
        tell(stripe.events("refund.created"))
        assert len(stripe.requests(f"GET /v1/payment_intents/{intent}")) == 1, "known by now"

    @pytest.mark.parametrize("fault", ["404", "429", "503"])
    def test_trouble_there_means_later(self, stripe: FakeStripe, buy: Buy, fault: str):
        order = buy()
        intent = stripe.act("pay", order.session_id)["payment_intent"]
        stripe.act("create_refund", {"payment_intent": intent, "amount": 100})
        stripe.fault("GET /v1/payment_intents", fault)
        with pytest.raises(Transient):
            tell(stripe.events("refund.created"))
        assert not Refund.objects.exists()
        tell(stripe.events())
        assert fresh(order).amount_refunded == 100
