"""One bought order and its events, told again and again: what must come out the same whatever the order."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

from payments.models import Dispute, Order, Problem, Refund
from queues.email.models import EmailMessage
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy

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


_bought: dict[str, Order] = {}


def buy_once(stripe: FakeStripe, buy: Buy, *acts: str) -> Order:
    """The same order and events for every example of one test."""
    if not stripe.objects("checkout.session"):
        _bought["order"] = buy()
        for act in acts:
            stripe.act(act, _bought["order"].session_id)
    return _bought["order"]
