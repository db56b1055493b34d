"""Refunds that staff wish: once each, however they are asked for and whatever Stripe answers."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from payments import refunds, requests
from payments.models import Order, Problem, Refund, StripeRequest
from payments.states import Status
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor, ReasonMissing
from queues.email.models import EmailMessage
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy, tell
from tests.queues.desk.people import person
from tests.queues.engine.threads import together

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> Actor:
    return Actor.of(person("operator"))


def wish(order: Order | None, actor: Actor, amount: int = 1000, **options: Any) -> Refund:
    given: dict[str, Any] = {"problem": None, "key": uuid.uuid4(), "reason": "asked for it", **options}
    return refunds.wish(order=order, amount=amount, actor=actor, now=timezone.now(), **given)


def test_a_part_then_the_rest(order: Order, operator: Actor, stripe: FakeStripe):
    made = refunds.send(wish(order, operator, 1200))
    assert (made.state, made.reason) == ("succeeded", "asked for it")
    order.refresh_from_db()
    assert (order.status, order.amount_refunded) == (Status.PARTIALLY_REFUNDED, 1200)
    refunds.send(wish(order, operator, 3800))
    order.refresh_from_db()
    assert (order.status, order.amount_refunded) == (Status.REFUNDED, 5000)
    tell(stripe.events())
    order.refresh_from_db()
    assert order.amount_refunded == 5000
    assert Refund.objects.count() == 2
    assert EmailMessage.objects.filter(kind="order_refund").count() == 2


def test_the_ledger_names_who_how_much_and_why(order: Order, operator: Actor):
    wish(order, operator, 1200)
    entry = LedgerEntry.objects.get()
    assert (entry.act, entry.actor_name, entry.items, entry.reason) == (
        "refund",
        "operator",
        [order.pk],
        "asked for it",
    )
    assert "12.00 EUR" in entry.plan
    assert entry.result["amount"] == 1200


def test_the_same_form_twice_is_one_refund(order: Order, operator: Actor, stripe: FakeStripe):
    key = uuid.uuid4()
    first, second = (refunds.send(wish(order, operator, key=key)) for _ in range(2))
    assert first.pk == second.pk
    assert len(stripe.objects("refund")) == 1
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize("amount", [0, -1, 5001, 10**9])
def test_amounts_that_are_refused(order: Order, operator: Actor, amount: int):
    with pytest.raises(refunds.Refused):
        wish(order, operator, amount)
    assert not LedgerEntry.objects.exists()


def test_what_is_on_its_way_back_cannot_go_back_again(order: Order, operator: Actor):
    wish(order, operator, 4000)
    with pytest.raises(refunds.Refused, match=r"10\.00 EUR"):
        wish(order, operator, 1001)


def test_a_disputed_order_is_not_refunded(order: Order, operator: Actor, stripe: FakeStripe):
    stripe.act("dispute", order.payment_intent)
    tell(stripe.events())
    order.refresh_from_db()
    with pytest.raises(refunds.Refused, match="disputed"):
        wish(order, operator)


def test_an_order_nobody_paid_is_not_refunded(stripe: FakeStripe, buy: Buy, operator: Actor):
    with pytest.raises(refunds.Refused):
        wish(buy(), operator)


def test_only_who_may_and_with_a_reason(order: Order, operator: Actor):
    for name in ("observer", "customer"):
        with pytest.raises(PermissionDenied):
            wish(order, Actor.of(person(name)))
    with pytest.raises(ReasonMissing):
        wish(order, operator, reason="  ")
    assert not Refund.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_members_of_staff_at_once_refund_no_more_than_was_paid(order: Order, operator: Actor, stripe: FakeStripe):
    def ask() -> str:
        try:
            return refunds.send(wish(order, operator, 3000)).state
        except refunds.Refused:
            return "refused"

    assert sorted(together(*[ask] * 4)) == ["refused"] * 3 + ["succeeded"]
    assert [each["amount"] for each in stripe.objects("refund")] == [3000]


@pytest.mark.django_db(transaction=True)
def test_one_wish_sent_by_several_workers_at_once_is_one_refund(order: Order, operator: Actor, stripe: FakeStripe):
    made = wish(order, operator, 3000)
    together(*[lambda: refunds.send(Refund.objects.get(pk=made.pk))] * 4)
    assert len(stripe.requests("POST /v1/refunds")) == 1
    order.refresh_from_db()
    assert order.amount_refunded == 3000


@pytest.mark.usefixtures("impatient")
class TestStripeInTrouble:
    def test_no_answer_then_the_same_key(self, order: Order, operator: Actor, stripe: FakeStripe):
        stripe.fault("POST /v1/refunds", "cut")
        made = refunds.send(wish(order, operator))
        assert made.state == Refund.State.REQUESTED
        assert refunds.send_due(now=timezone.now()) == 0, "not at once"
        assert refunds.send_due(now=timezone.now() + timedelta(minutes=2)) == 1
        assert len(stripe.objects("refund")) == 1
        order.refresh_from_db()
        assert order.amount_refunded == 1000

    def test_its_event_comes_before_its_answer(self, order: Order, operator: Actor, stripe: FakeStripe):
        stripe.fault("POST /v1/refunds", "cut")
        made = refunds.send(wish(order, operator))
        tell(stripe.events("refund.created", "charge.refunded"))
        made.refresh_from_db()
        assert made.state == "succeeded"
        assert Refund.objects.count() == 1
        assert refunds.send_due(now=timezone.now() + timedelta(minutes=2)) == 0

    def test_a_day_later_it_looks_before_it_creates(self, order: Order, operator: Actor, stripe: FakeStripe):
        """Case 18 of the reference: Stripe has forgotten the key."""
        stripe.fault("POST /v1/refunds", "cut")
        made = refunds.send(wish(order, operator))
        stripe.shift(hours=26)
        later = timezone.now() + timedelta(hours=26)
        refunds.send(made, clock=lambda: later)
        made.refresh_from_db()
        assert made.state == "succeeded"
        assert len(stripe.objects("refund")) == 1
        assert len(stripe.requests("POST /v1/refunds")) == 1

    def test_a_day_later_it_creates_what_is_not_there(self, order: Order, operator: Actor, stripe: FakeStripe):
        stripe.fault("POST /v1/refunds", "refuse")
        made = refunds.send(wish(order, operator))
        stripe.shift(hours=26)
        later = timezone.now() + timedelta(hours=26)
        assert refunds.send(made, clock=lambda: later).state == "succeeded"
        first, second = stripe.requests("POST /v1/refunds")
        assert first["key"] != second["key"]

    def test_stripe_says_no(self, order: Order, operator: Actor, stripe: FakeStripe):
        stripe.act("create_refund", {"payment_intent": order.payment_intent})
        made = refunds.send(wish(order, operator))
        assert made.state == Refund.State.FAILED
        assert "already been refunded" in made.words
        order.refresh_from_db()
        assert order.amount_refunded == 0, "that one is booked by its own event"
        tell(stripe.events())
        order.refresh_from_db()
        assert order.amount_refunded == 5000

    def test_what_we_took_for_refused_but_stripe_made(self, order: Order, operator: Actor, stripe: FakeStripe):
        stripe.fault("POST /v1/refunds", "cut")
        made = refunds.send(wish(order, operator))
        Refund.objects.filter(pk=made.pk).update(state="failed", words="Stripe 400: keys can only be used once")
        tell(stripe.events())
        made.refresh_from_db()
        assert (made.state, made.words) == ("succeeded", "")
        order.refresh_from_db()
        assert order.amount_refunded == 1000

    def test_a_worker_that_died_while_asking(self, order: Order, operator: Actor, stripe: FakeStripe):
        made = wish(order, operator)
        now = timezone.now()
        StripeRequest.objects.create(
            operation=requests.REFUND, subject=str(made.key), key_sent_at=now, last_sent_at=now, busy_until=now
        )
        assert refunds.send(made).state == "succeeded"
        assert stripe.requests("POST /v1/refunds")[0]["key"] == f"refund:{made.key}:1"


def test_a_problem_is_refunded_whole_and_resolved(stripe: FakeStripe, buy: Buy, operator: Actor):
    order = buy()
    stripe.act("pay", order.session_id)
    Order.objects.filter(pk=order.pk).update(status="expired", expired_at=timezone.now())
    tell(stripe.events())
    problem = Problem.objects.get()
    made = refunds.send(wish(problem.order, operator, 2500, problem=problem))
    assert made.state == "succeeded"
    problem.refresh_from_db()
    assert problem.resolved_at
    with pytest.raises(refunds.Refused):
        wish(problem.order, operator, 2500, problem=problem)


def test_people_are_not_in_the_way_of_history(order: Order, operator: Actor, customer: User):
    wish(order, operator)
    customer.delete()
    order.refresh_from_db()
    assert order.user is None
