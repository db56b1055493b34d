"""The states of an order, derived from its facts alone, so that the order in which events come does not matter.

pending ──▶ paid ──▶ partially_refunded ──▶ refunded        money goes back
   │          └──── disputed ◀──┘    │                      a bank took it, or may; thawed when won
   ├──▶ expired      the checkout ran out of time
   └──▶ canceled     the payment failed for good
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from django.db import models


class Status(models.TextChoices):
    """Where an order stands. The database refuses any other word."""

    PENDING = "pending", "Pending"
    PAID = "paid", "Paid"
    PARTIALLY_REFUNDED = "partially_refunded", "Partially refunded"
    REFUNDED = "refunded", "Refunded"
    DISPUTED = "disputed", "Disputed"
    """Frozen: nothing is delivered for it, and it is not refunded from here."""
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"


DISPUTE_RANK = {
    "warning_needs_response": 0,
    "warning_under_review": 1,
    "warning_closed": 2,
    "needs_response": 3,
    "under_review": 4,
    "charge_refunded": 5,
    "prevented": 5,
    "won": 5,
    "lost": 5,
}
"""How far a dispute has come (https://docs.stripe.com/disputes/how-disputes-work): an event that says less is older."""
THAWED = frozenset({"warning_closed", "charge_refunded", "prevented", "won"})
"""Ended without taking the money. `lost` stays frozen: the money is gone, so nothing is to be delivered."""
CLOSED = THAWED | {"lost"}
REFUND_RANK = {"requested": 0, "requires_action": 1, "pending": 2, "succeeded": 3, "failed": 4, "canceled": 4}
"""How far a refund has come: one that succeeded may still fail (https://docs.stripe.com/refunds#failed-refunds)."""
COUNTED = ("requires_action", "pending", "succeeded")
"""Refunds whose money has left our balance."""


class Facts(Protocol):
    """What of an order its status depends on."""

    paid_at: datetime | None
    expired_at: datetime | None
    canceled_at: datetime | None
    amount_paid: int
    amount_refunded: int


def of(order: Facts, *, disputes: Iterable[str]) -> Status:
    """The status of an order with these facts, and disputes in these states."""
    if order.paid_at is None:
        if order.expired_at:
            return Status.EXPIRED
        return Status.CANCELED if order.canceled_at else Status.PENDING
    if any(state not in THAWED for state in disputes):
        return Status.DISPUTED
    if order.amount_refunded >= order.amount_paid:
        return Status.REFUNDED
    return Status.PARTIALLY_REFUNDED if order.amount_refunded else Status.PAID
