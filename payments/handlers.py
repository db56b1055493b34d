"""What Stripe's events mean for orders. Registered when the app is ready; each runs in a transaction of its own.

Every one of them begins by locking the order. Nothing depends on the order in which they come, nor on how often. Events
of connected accounts are not ours: whoever owns one could pay himself under an order's reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from payments import lookup, orders
from payments.orders import Payment
from queues.webhooks import handlers
from queues.webhooks.handlers import Event

PAID = frozenset({"paid", "no_payment_required"})


@handlers.on("checkout.session.completed", "checkout.session.async_payment_succeeded")
def session_completed(event: Event, fetched: Any) -> None:
    """The customer has finished a checkout; with most methods that means paid."""
    if not event.account:
        book_session(event.object, now=timezone.now())


def book_session(session: Mapping[str, Any], *, now: datetime) -> None:
    """Do what a completed session says, in the caller's transaction."""
    reference = lookup.reference_in(session)
    if not reference or session.get("mode", "payment") != "payment":
        return
    order = orders.locked(reference)
    if session.get("payment_status") not in PAID:
        if order is not None:
            orders.processing(order, now=now)
        return
    payment = Payment(
        intent=lookup.identity(session.get("payment_intent")) or session["id"],
        amount=session["amount_total"],
        currency=session["currency"],
        email=(session.get("customer_details") or {}).get("email") or "",
    )
    if order is None:
        orders.unknown(payment, reference=reference, now=now)
    else:
        orders.pay(order, payment, now=now)


@handlers.on("payment_intent.succeeded")
def payment_succeeded(event: Event, fetched: Any) -> None:
    """The money has come; said beside `checkout.session.completed`, before or after it."""
    intent = event.object
    reference = lookup.reference_of(event)
    if not reference:
        return
    order, now = orders.locked(reference), timezone.now()
    payment = Payment(
        intent=intent["id"],
        amount=intent.get("amount_received") or intent["amount"],
        currency=intent["currency"],
        charge=lookup.identity(intent.get("latest_charge")),
        email=intent.get("receipt_email") or "",
    )
    if order is None:
        orders.unknown(payment, reference=reference, now=now)
    else:
        orders.pay(order, payment, now=now)


@handlers.on("checkout.session.expired")
def session_expired(event: Event, fetched: Any) -> None:
    """Nobody paid in time."""
    order = orders.locked(lookup.reference_of(event))
    if order is not None:
        orders.expire(order, now=timezone.now())


@handlers.on("checkout.session.async_payment_failed", "payment_intent.canceled")
def payment_over(event: Event, fetched: Any) -> None:
    """It will not be paid any more."""
    order = orders.locked(lookup.reference_of(event))
    if order is not None:
        orders.cancel(order, now=timezone.now())


@handlers.on("payment_intent.payment_failed")
def payment_declined(event: Event, fetched: Any) -> None:
    """One attempt failed; the checkout is still open."""
    order = orders.locked(lookup.reference_of(event))
    if order is not None:
        error: Mapping[str, Any] = event.object.get("last_payment_error") or {}
        orders.declined(order, words=str(error.get("message") or error.get("code") or "declined"))


@handlers.on("refund.created", "refund.updated", "refund.failed", "charge.refund.updated", fetch=lookup.owner)
def refund_changed(event: Event, fetched: lookup.Owner) -> None:
    """Money goes back, or could not."""
    order = orders.locked(fetched.reference)
    if order is not None or fetched.ours:
        orders.refund(order, event.object, now=timezone.now())


@handlers.on("charge.refunded", fetch=lookup.owner_and_refunds)
def charge_refunded(event: Event, fetched: lookup.Owner) -> None:
    """The same once more, with the charge's cumulative amount, which is not looked at: its refunds are booked by id."""
    order = orders.locked(fetched.reference)
    if order is not None or fetched.ours:
        for refund in fetched.refunds:
            orders.refund(order, refund, now=timezone.now())


@handlers.on(
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    fetch=lookup.owner,
)
def dispute_changed(event: Event, fetched: lookup.Owner) -> None:
    """A bank takes the payment back, or gives up."""
    order = orders.locked(fetched.reference)
    if order is not None or fetched.ours:
        orders.dispute(order, event.object, kind=event.type, now=timezone.now())
