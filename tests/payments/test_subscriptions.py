"""Subscriptions and invoices as Stripe tells them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from payments.models import Invoice, Subscription
from tests.payments.conftest import tell

pytestmark = pytest.mark.django_db


def event(kind: str, about: dict[str, Any], created: int = 1_800_000_000) -> dict[str, Any]:
    return {
        "id": f"evt_{kind}_{created}",
        "type": kind,
        "created": created,
        "api_version": "2026-09-30.endive",
        "data": {"object": about},
    }


def subscription(state: str, **more: Any) -> dict[str, Any]:
    return {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": state, **more}


def invoice(**more: Any) -> dict[str, Any]:
    return {
        "id": "in_1",
        "object": "invoice",
        "customer": {"id": "cus_1"},
        "currency": "eur",
        "amount_due": 900,
        **more,
    }


def test_what_was_deleted_stays_so_in_whatever_order():
    told = [
        event("customer.subscription.created", subscription("active")),
        event("customer.subscription.updated", subscription("past_due"), 1_800_000_050),
        event("customer.subscription.deleted", subscription("canceled", ended_at=1_800_000_100), 1_800_000_100),
    ]
    for events in itertools.permutations(told):
        Subscription.objects.all().delete()
        tell(events)
        row = Subscription.objects.get()
        assert row.state == "canceled"
        assert row.ended_at == datetime.fromtimestamp(1_800_000_100, UTC)
        assert row.customer == "cus_1"


def test_it_ends_with_its_period():
    items = {"data": [{"current_period_end": 1_800_100_000}]}
    tell([event("customer.subscription.updated", subscription("active", cancel_at_period_end=True, items=items))])
    assert Subscription.objects.get().cancels_at == datetime.fromtimestamp(1_800_100_000, UTC)


def test_a_bill_that_was_paid_stays_paid():
    told = [
        event("invoice.payment_failed", invoice(attempt_count=1)),
        event("invoice.payment_failed", invoice(attempt_count=2), 1_800_000_050),
        event("invoice.paid", invoice(attempt_count=3, number="A-1"), 1_800_000_100),
    ]
    for events in itertools.permutations(told):
        Invoice.objects.all().delete()
        tell([*events, *events])
        row = Invoice.objects.get()
        assert (row.state, row.attempts, row.number, row.amount) == ("paid", 3, "A-1", 900)


@pytest.mark.parametrize(
    "where", [{"subscription": "sub_1"}, {"parent": {"subscription_details": {"subscription": "sub_1"}}}]
)
def test_the_subscription_of_a_bill_stands_in_two_places(where: dict[str, Any]):
    tell([event("invoice.paid", invoice(**where))])
    assert Invoice.objects.get().subscription == "sub_1"
