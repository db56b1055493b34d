"""Events that come over HTTP, with what is particular to their delivery: thin ones, a poison one among good ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments.models import Order, Refund
from payments.states import Status
from queues.email.models import EmailMessage
from queues.webhooks.models import WebhookEvent
from tests.fake_stripe import FakeStripe
from tests.payments.conftest import Buy
from tests.payments.delivery import deliver, drain

pytestmark = pytest.mark.django_db(transaction=True)


def thin(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The thin event that goes with a snapshot event."""
    about = snapshot["data"]["object"]
    paths = {"charge": "charges", "refund": "refunds", "payment_intent": "payment_intents", "dispute": "disputes"}
    return {
        "id": f"{snapshot['id']}_thin",
        "object": "v2.core.event",
        "type": f"v1.{snapshot['type']}",
        "created": datetime.fromtimestamp(snapshot["created"], UTC).isoformat().replace("+00:00", ".000Z"),
        "livemode": False,
        "related_object": {
            "id": about["id"],
            "type": about["object"],
            "url": f"/v1/{paths[about['object']]}/{about['id']}",
        },
        "snapshot_event": snapshot["id"],
    }


@pytest.mark.parametrize("first", ["thin", "snapshot"])
def test_thin_and_snapshot_of_one_refund_have_one_effect(first: str, stripe: FakeStripe, buy: Buy):
    """Case 17 of the reference."""
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    deliver(stripe.events())
    drain()
    stripe.act("create_refund", {"payment_intent": intent, "amount": 400})
    snapshots = stripe.events("charge.refunded", "refund.created")
    both = [thin(each) for each in snapshots], snapshots
    deliver(both[first == "snapshot"])
    stripe.fault("GET /v1/charges", "429")
    drain()
    deliver(both[first != "snapshot"])
    drain(after=timedelta(minutes=2))
    order.refresh_from_db()
    assert (order.status, order.amount_refunded) == (Status.PARTIALLY_REFUNDED, 400)
    assert Refund.objects.count() == 1
    assert EmailMessage.objects.filter(kind="order_refund").count() == 1


def test_thin_events_alone_are_enough(stripe: FakeStripe, buy: Buy):
    order = buy()
    intent = stripe.act("pay", order.session_id)["payment_intent"]
    stripe.act("create_refund", {"payment_intent": intent, "amount": 400})
    wanted = [each for each in stripe.events() if not each["type"].startswith("checkout")]
    deliver(thin(each) for each in reversed(wanted))
    drain()
    order.refresh_from_db()
    assert (order.status, order.amount_paid, order.amount_refunded) == (Status.PARTIALLY_REFUNDED, 2500, 400)


def test_one_event_that_cannot_be_handled_keeps_no_other_from_it(stripe: FakeStripe, buy: Buy):
    orders = [buy() for _ in range(3)]
    for order in orders:
        stripe.act("pay", order.session_id)
    events = stripe.events("checkout.session.completed")
    del events[1]["data"]["object"]["amount_total"]
    deliver(events)
    drain()
    assert list(Order.objects.order_by("pk").values_list("status", flat=True)) == ["paid", "pending", "paid"]
    assert WebhookEvent.objects.get(status="retrying").last_code == "bug KeyError"
    deliver(stripe.events("payment_intent.succeeded"))
    drain()
    assert set(Order.objects.values_list("status", flat=True)) == {"paid"}
