"""Events about refunds: booked once each, in whatever order, and never for strangers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.models import Problem, Refund
from payments.states import Status
from queues.engine.outcomes import Transient
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell
from tests.payments.histories import MANY, again, buy_once, fresh, outcome

pytestmark = pytest.mark.django_db


@MANY
@given(data=st.data())
def test_partial_refunds_in_any_order_and_twice_are_booked_once_each(stripe: FakeStripe, buy: Buy, data: st.DataObject):
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
def test_everything_about_a_partly_refunded_order_in_any_order(stripe: FakeStripe, buy: Buy, data: st.DataObject):
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


def test_a_refund_that_fails_later_is_taken_back(stripe: FakeStripe, buy: Buy):
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


def test_an_old_charge_with_its_refunds_inside_needs_no_question(stripe: FakeStripe, buy: Buy):
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    refund = stripe.act("create_refund", {"payment_intent": intent, "amount": 300})
    (event,) = stripe.events("charge.refunded")
    event["data"]["object"]["refunds"] = {"data": [refund], "has_more": False}
    tell([*stripe.events("checkout.session.completed"), event])
    assert fresh(order).amount_refunded == 300
    assert not stripe.requests("GET /v1/refunds")


def test_a_refund_of_a_stranger_is_not_booked(stripe: FakeStripe, buy: Buy):
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("create_refund", {"payment_intent": intent, "amount": 300})
    (event,) = stripe.events("refund.created")
    event["account"] = "acct_1"
    tell([event])
    assert not Refund.objects.exists()


def test_they_ask_stripe_once_and_not_in_a_transaction(stripe: FakeStripe, buy: Buy):
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("create_refund", {"payment_intent": intent, "amount": 100})
    tell(stripe.events("refund.created"))
    assert len(stripe.requests(f"GET /v1/payment_intents/{intent}")) == 1
    assert Refund.objects.get().order == order
    tell(stripe.events("refund.created"))
    assert len(stripe.requests(f"GET /v1/payment_intents/{intent}")) == 1, "known by now"


@pytest.mark.parametrize("fault", ["404", "429", "503"])
def test_trouble_there_means_later(stripe: FakeStripe, buy: Buy, fault: str):
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("create_refund", {"payment_intent": intent, "amount": 100})
    stripe.fault("GET /v1/payment_intents", fault)
    with pytest.raises(Transient):
        tell(stripe.events("refund.created"))
    assert not Refund.objects.exists()
    tell(stripe.events())
    assert fresh(order).amount_refunded == 100
