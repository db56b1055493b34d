"""What happens to an order. Every function works on a row locked by `locked`; `_settle` alone writes the status.

Each of them may be called twice, or late: facts only grow, and money is counted from Stripe's own objects, once each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, Sum

from payments import mails, states
from payments.models import Dispute, Order, Problem, Refund
from payments.states import Status
from queues.engine import log
from queues.engine.outcomes import clean

logger = log.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment that succeeded at Stripe. `amount` in the currency's smallest unit; `charge` "" if not told."""

    intent: str
    amount: int
    currency: str
    charge: str = ""
    email: str = ""


def locked(reference: str) -> Order | None:
    """The order of that reference, locked until the transaction ends: what every change of money begins with."""
    return Order.objects.select_for_update().filter(reference=reference).first() if reference else None


def pay(order: Order, payment: Payment, *, now: datetime) -> bool:
    """Accept the payment and enqueue the receipt, in the caller's transaction; True if this call did it.

    A payment that the order does not wait for becomes a `Problem`: it is never swallowed.
    """
    if order.payment_intent == payment.intent:
        if payment.charge and not order.charge:
            order.charge = payment.charge
            order.save(update_fields=["charge"])
            _settle(order)  # a dispute may have named the charge alone
        return False
    if order.paid_at:
        return _problem(
            Problem.Kind.TWICE, order, payment, f"{order} had been paid by {order.payment_intent}.", now=now
        )
    if order.status != Status.PENDING:
        return _problem(Problem.Kind.LATE, order, payment, f"{order} was {order.status} when it was paid.", now=now)
    if (payment.amount, payment.currency) != (order.amount, order.currency):
        return _problem(Problem.Kind.MISMATCH, order, payment, f"{order} costs {order.cost}.", now=now)
    if Problem.objects.filter(key=_payment_key(payment)).exists():
        return False
    order.paid_at, order.amount_paid = now, payment.amount
    order.payment_intent, order.charge = payment.intent, payment.charge
    order.email = order.email or payment.email
    order.last_error = ""
    order.save(update_fields=["paid_at", "amount_paid", "payment_intent", "charge", "email", "last_error"])
    _settle(order)
    mails.receipt(order, now=now)
    return True


def unknown(payment: Payment, *, reference: str, now: datetime) -> None:
    """Somebody paid for an order that says it is ours and that we do not have."""
    _problem(Problem.Kind.UNKNOWN, None, payment, f"There is no order {clean(reference)[:50]}.", now=now)


def processing(order: Order, *, now: datetime) -> None:
    """The customer has finished the checkout, the bank has not: it does not expire meanwhile."""
    if not order.processing_at:
        order.processing_at = now
        order.save(update_fields=["processing_at"])


def declined(order: Order, *, words: str) -> None:
    """One attempt to pay failed; the customer may try again in the same checkout."""
    if not order.paid_at:
        order.last_error = clean(words)[:500]
        order.save(update_fields=["last_error"])


def expire(order: Order, *, now: datetime) -> bool:
    """The checkout ran out of time. False if the order was paid or had expired before."""
    return _close(order, "expired_at", now=now)


def cancel(order: Order, *, now: datetime) -> bool:
    """The payment failed for good."""
    return _close(order, "canceled_at", now=now)


def _close(order: Order, fact: str, *, now: datetime) -> bool:
    if order.paid_at or getattr(order, fact):
        return False
    setattr(order, fact, now)
    order.save(update_fields=[fact])
    _settle(order)
    return True


def refund(order: Order | None, given: Mapping[str, Any], *, now: datetime) -> None:
    """Book a refund object of Stripe's, in whatever state it is.

    It counts once, by its id: cumulative amounts of charges are never looked at. One that failed is taken back.
    """
    row = _refund_row(order, given)
    if row.order is None and order is not None:
        row.order = order
        row.save(update_fields=["order"])
    state = str(given.get("status") or Refund.State.PENDING)
    if state in states.REFUND_RANK and states.REFUND_RANK[state] > states.REFUND_RANK[row.state]:
        row.state = Refund.State(state)
        row.words = clean(str(given.get("failure_reason") or ""))[:500]
        if state == Refund.State.SUCCEEDED:
            row.settled_at = now
        row.save(update_fields=["state", "words", "settled_at"])
        if state == Refund.State.FAILED:
            _refund_failed(order, row, now=now)
        if state == Refund.State.SUCCEEDED and order is not None:
            mails.refunded(order, row, now=now)
    if order is not None:
        _settle(order)
    _resolve(row.payment_intent, now=now)


def _refund_row(order: Order | None, given: Mapping[str, Any]) -> Refund:
    """The row of this object: known by its id, ours and now told its id, or new."""
    known = Refund.objects.select_for_update().filter(stripe_id=given["id"]).first()
    if known is not None:
        return known
    key = _uuid((given.get("metadata") or {}).get("redrive_refund"))
    if key is not None:
        ours = Refund.objects.select_for_update().filter(key=key, stripe_id__isnull=True).first()
        if ours is not None:
            # Until now its state was our own guess; "failed" too, if the answer that said so was not the last word.
            ours.stripe_id, ours.state, ours.words = given["id"], Refund.State.REQUESTED, ""
            ours.save(update_fields=["stripe_id", "state", "words"])
            return ours
    made, _new = Refund.objects.get_or_create(
        stripe_id=given["id"],
        defaults={
            "order": order,
            "payment_intent": given.get("payment_intent") or "",
            "amount": given["amount"],
            "currency": given["currency"],
            "state": Refund.State.REQUESTED,
        },
    )
    return made


def _refund_failed(order: Order | None, row: Refund, *, now: datetime) -> None:
    Problem.objects.get_or_create(
        key=f"refund:{row.stripe_id or row.key}",
        defaults={
            "kind": Problem.Kind.REFUND_FAILED,
            "order": order,
            "payment_intent": row.payment_intent,
            "amount": row.amount,
            "currency": row.currency,
            "words": f"The customer has not got the money: {row.words or 'no reason given'}.",
            "created_at": now,
        },
    )


def dispute(order: Order | None, given: Mapping[str, Any], *, kind: str, now: datetime) -> None:
    """Book a dispute as the event of type `kind` tells it; an older event does not overwrite a newer state."""
    state = str(given["status"])
    row, new = Dispute.objects.select_for_update().get_or_create(
        stripe_id=given["id"],
        defaults={
            "order": order,
            "payment_intent": given.get("payment_intent") or "",
            "charge": given.get("charge") or "",
            "amount": given["amount"],
            "currency": given["currency"],
            "state": state,
            "reason": clean(str(given.get("reason") or ""))[:100],
            "created_at": moment(given.get("created")) or now,
        },
    )
    if not new and states.DISPUTE_RANK.get(state, 0) >= states.DISPUTE_RANK.get(row.state, 0):
        row.state = state
    row.evidence_due_at = moment((given.get("evidence_details") or {}).get("due_by")) or row.evidence_due_at
    if kind.endswith("funds_withdrawn"):
        row.withdrawn_at = row.withdrawn_at or now
    if kind.endswith("funds_reinstated"):
        row.reinstated_at = row.reinstated_at or now
    if row.state in states.CLOSED:
        row.closed_at = row.closed_at or now
    row.save(update_fields=["state", "evidence_due_at", "withdrawn_at", "reinstated_at", "closed_at"])
    if order is not None:
        _settle(order)


def moment(seconds: Any) -> datetime | None:
    """A Unix time of Stripe's as an aware datetime; None if there is none."""
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) and seconds > 0 else None


def _settle(order: Order) -> None:
    """Count the money of the order's payment and derive its status. The only place that writes them."""
    before = order.status
    if order.payment_intent:
        counted = Refund.objects.filter(payment_intent=order.payment_intent, state__in=states.COUNTED)
        order.amount_refunded = counted.aggregate(sum=Sum("amount"))["sum"] or 0
        named = Q(payment_intent=order.payment_intent)
        if order.charge:
            named |= Q(charge=order.charge)
        order.status = states.of(order, disputes=Dispute.objects.filter(named).values_list("state", flat=True))
    else:
        order.status = states.of(order, disputes=())
    order.save(update_fields=["amount_refunded", "status"])
    if order.status != before:
        logger.info("order.status", order=order.reference, before=before, status=order.status)


def _problem(kind: Problem.Kind, order: Order | None, payment: Payment, words: str, *, now: datetime) -> bool:
    """Always False: the payment was not accepted."""
    _row, new = Problem.objects.get_or_create(
        key=_payment_key(payment),
        defaults={
            "kind": kind,
            "order": order,
            "payment_intent": payment.intent,
            "amount": payment.amount,
            "currency": payment.currency,
            "words": words,
            "created_at": now,
        },
    )
    if new:
        logger.warning("order.problem", order=order and order.reference, kind=kind.value)
        _resolve(payment.intent, now=now)  # its refund may have been told before it
    return False


def _payment_key(payment: Payment) -> str:
    return f"payment:{payment.intent}"


def _resolve(payment_intent: str, *, now: datetime) -> None:
    """A problem is over when all of its payment went back."""
    problem = Problem.objects.filter(key=f"payment:{payment_intent}", resolved_at__isnull=True).first()
    if problem is None:
        return
    counted = Refund.objects.filter(payment_intent=payment_intent, state__in=states.COUNTED)
    if (counted.aggregate(sum=Sum("amount"))["sum"] or 0) >= problem.amount:
        problem.resolved_at, problem.resolution = now, "refunded"
        problem.save(update_fields=["resolved_at", "resolution"])


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(text)
    except (ValueError, TypeError, AttributeError):
        return None
