"""Subscriptions and their invoices, as Stripe tells them: which are running, which bills were paid.

A subscription's state can go back and forth (past_due, active), so here the newest word counts: where two events are
of the same second, or one comes late, the registry gives the handler Stripe's current state (`current=True`). What is
canceled stays so, and a bill that was paid stays paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from payments import orders
from payments.lookup import identity
from payments.models import Invoice, Subscription
from queues.webhooks import handlers
from queues.webhooks.handlers import Event

ENDED = frozenset({"canceled", "incomplete_expired"})


@handlers.on(
    "customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted", current=True
)
def subscription_changed(event: Event, fetched: Any) -> None:
    """It began, changed or ended."""
    told = event.object
    state = told.get("status") or "canceled"  # of one that Stripe has no state of any more
    row, new = Subscription.objects.select_for_update().get_or_create(
        stripe_id=told["id"], defaults={"state": state, "told_at": event.created}
    )
    if not new and row.state in ENDED and state not in ENDED:
        return
    row.state = state
    row.customer = identity(told.get("customer"))
    row.cancels_at = orders.moment(told.get("cancel_at")) or _period_end(told)
    row.ended_at = orders.moment(told.get("ended_at"))
    row.told_at = max(row.told_at, event.created)
    row.save()


@handlers.on("invoice.paid", "invoice.payment_failed")
def invoice_changed(event: Event, fetched: Any) -> None:
    """A bill was paid, or could not be."""
    told = event.object
    row, _new = Invoice.objects.select_for_update().get_or_create(
        stripe_id=told["id"], defaults={"amount": told.get("amount_due") or 0, "currency": told["currency"]}
    )
    row.customer, row.subscription = identity(told.get("customer")), _subscription(told)
    row.number = str(told.get("number") or row.number)[:100]
    row.attempts = max(row.attempts, told.get("attempt_count") or 0)
    if event.type == "invoice.paid":
        row.paid_at = row.paid_at or event.created
    else:
        row.failed_at = max(row.failed_at or event.created, event.created)
    row.save()


def _subscription(told: Mapping[str, Any]) -> str:
    """Where it stands depends on the API's version (moved in 2025-03-31)."""
    parent = told.get("parent") or {}
    return identity(told.get("subscription") or (parent.get("subscription_details") or {}).get("subscription"))


def _period_end(told: Mapping[str, Any]) -> datetime | None:
    """When it ends, if it ends with the period; of the items since 2025-03-31."""
    if not told.get("cancel_at_period_end"):
        return None
    items = (told.get("items") or {}).get("data") or [{}]
    return orders.moment(told.get("current_period_end") or items[0].get("current_period_end"))
