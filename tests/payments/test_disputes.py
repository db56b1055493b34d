"""Events about disputes: out of order they end in the right state, and the funds are back once."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.models import Dispute
from payments.states import Status
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell
from tests.payments.histories import MANY, again, buy_once, fresh, outcome

pytestmark = pytest.mark.django_db


@MANY
@given(data=st.data())
def test_won_in_any_order_ends_thawed_and_the_funds_back_once(stripe: FakeStripe, buy: Buy, data: st.DataObject):
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


def test_reversed_exactly(stripe: FakeStripe, buy: Buy):
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("decide", stripe.act("dispute", intent)["id"], won=True)
    tell(reversed(stripe.events()))
    assert outcome(order)["status"] == Status.PAID
    assert outcome(order)["disputes"][0][1:] == ("won", "reinstated")


def test_open_it_freezes_the_order_and_lost_it_stays_frozen(stripe: FakeStripe, buy: Buy):
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


def test_one_that_names_only_the_charge(stripe: FakeStripe, buy: Buy):
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("dispute", intent)
    events = stripe.events("charge.dispute.created")
    for event in events:
        event["data"]["object"]["payment_intent"] = None
    tell([*events, *stripe.events("payment_intent.succeeded")])
    assert fresh(order).status == Status.DISPUTED
