"""Refunds that staff wish: recorded with the ledger in one transaction, then asked of Stripe, once.

wish ── row `requested` + ledger entry ──▶ ask Stripe ── its object ──▶ booked like every refund (`orders.refund`)
                                              ├─ no answer ──▶ stays requested; `send_due` asks again, same key
                                              └─ refused ────▶ failed, with Stripe's words
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from payments import lookup, money, orders, requests, states
from payments.models import Order, Problem, Refund, StripeRequest
from payments.states import Status
from queues.desk import ledger
from queues.desk.operations import Actor, ReasonMissing
from queues.engine import log
from queues.engine.outcomes import Outcome
from queues.webhooks import stripe_api

QUEUE = "payments"
"""Stands for the money side in the ledger, which else names queues; the items are the orders' ids."""
AGAIN_AFTER = timedelta(minutes=1)
ALIVE = (Refund.State.REQUESTED, *states.COUNTED)

logger = log.get(__name__)


class Refused(ValueError):
    """It cannot be refunded; the message says why, for staff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What can go back: of an order's own payment, or of a problem's."""

    intent: str
    paid: int
    back: int
    """What went back already, or is on its way."""
    currency: str

    @property
    def left(self) -> int:
        """What may still go back."""
        return max(self.paid - self.back, 0)


def of_order(order: Order) -> Payment:
    """The payment that was accepted for the order."""
    return _payment(order.payment_intent, order.amount_paid, order.currency)


def of_problem(problem: Problem) -> Payment:
    """The payment that no order waited for."""
    return _payment(problem.payment_intent, problem.amount, problem.currency)


def wish(
    *, order: Order | None, problem: Problem | None, key: UUID, amount: int, actor: Actor, reason: str, now: datetime
) -> Refund:
    """Record the wish, with its ledger entry; `key` makes a second submission of the same form the same wish.

    Give the order, or the problem. Raises Refused, PermissionDenied or ReasonMissing. Then call `send`.
    """
    actor.require("refund", Order)
    if not reason.strip():
        raise ReasonMissing("a refund needs a reason")
    with transaction.atomic():
        order = _locked(order, problem)
        known = Refund.objects.filter(key=key).first()
        if known is not None:
            return known
        if problem is not None:
            problem = Problem.objects.select_for_update().get(pk=problem.pk)
        payment = of_problem(problem) if problem is not None else of_order(_needed(order))
        _check(order, problem, payment, amount)
        made = Refund.objects.create(
            key=key,
            order=order,
            payment_intent=payment.intent,
            amount=amount,
            currency=payment.currency,
            state=Refund.State.REQUESTED,
            reason=reason.strip()[:500],
            created_at=now,
        )
        ledger.record(
            act="refund",
            actor=actor.user,
            actor_name=actor.name,
            queue=QUEUE,
            items=[order.pk] if order is not None else [],
            plan=f"{money.show(amount, payment.currency)} of payment {payment.intent} for order {order or 'unknown'}",
            reason=reason.strip(),
            result={"refund": made.pk, "amount": amount, "currency": payment.currency},
            request_id=actor.request_id,
            now=now,
        )
    return made


def send(refund: Refund, *, clock: Callable[[], datetime] = timezone.now) -> Refund:
    """Ask Stripe for it, outside a transaction; the row tells how it ended. A missing answer is asked for again."""
    if refund.state != Refund.State.REQUESTED:
        return refund
    try:
        requests.once(_creation(refund, clock), clock=clock)
    except stripe_api.Refused as refused:
        _refused(refund, refused)
    except Outcome as outcome:
        logger.warning("refund.waits", refund=refund.pk, code=outcome.code)
    refund.refresh_from_db()
    return refund


def send_due(*, now: datetime) -> int:
    """Ask again for those Stripe has not answered; returns how many were answered."""
    due = Refund.objects.filter(state=Refund.State.REQUESTED, stripe_id=None, created_at__lt=now - AGAIN_AFTER)
    return sum(send(refund).state != Refund.State.REQUESTED for refund in due.order_by("created_at")[:50])


def _payment(intent: str, paid: int, currency: str) -> Payment:
    gone = Refund.objects.filter(payment_intent=intent, state__in=ALIVE).aggregate(sum=Sum("amount"))["sum"] or 0
    return Payment(intent=intent, paid=paid, back=gone if intent else 0, currency=currency)


def _locked(order: Order | None, problem: Problem | None) -> Order | None:
    wanted = order.pk if order is not None else problem.order_id if problem is not None else None
    return Order.objects.select_for_update().get(pk=wanted) if wanted else None


def _needed(order: Order | None) -> Order:
    if order is None:
        raise Refused("There is nothing to refund.")
    return order


def _check(order: Order | None, problem: Problem | None, payment: Payment, amount: int) -> None:
    if problem is None and order is not None and order.status == Status.DISPUTED:
        raise Refused("The order is disputed: the bank decides about this money, a refund would pay it twice.")
    if problem is not None and problem.resolved_at:
        raise Refused("The problem is resolved already.")
    if not payment.intent or not payment.left:
        raise Refused("There is nothing left to refund.")
    if not 0 < amount <= payment.left:
        raise Refused(f"Between the smallest unit and {money.show(payment.left, payment.currency)}.")


def _creation(refund: Refund, clock: Callable[[], datetime]) -> requests.Creation:
    wished: Any = {
        "payment_intent": refund.payment_intent,
        "amount": refund.amount,
        "metadata": {"redrive_refund": str(refund.key)},
    }

    def create(key: str) -> dict[str, Any]:
        made = stripe_api.call(lambda client: client.v1.refunds.create(wished), idempotency_key=key)
        return dict(made.to_dict())

    def keep(found: requests.Found) -> None:
        order = orders.locked(refund.order.reference) if refund.order is not None else None
        orders.refund(order, found, now=clock())

    return requests.Creation(
        operation=requests.REFUND,
        subject=str(refund.key),
        create=create,
        look=lambda row: _look(refund, row),
        keep=keep,
    )


def _look(refund: Refund, row: StripeRequest) -> requests.Found | None:
    """Among the refunds of the payment."""
    for each in lookup.listed("/v1/refunds", {"payment_intent": refund.payment_intent}):
        if (each.get("metadata") or {}).get("redrive_refund") == str(refund.key):
            return each
    return None


def _refused(refund: Refund, refused: stripe_api.Refused) -> None:
    waiting = Refund.objects.filter(pk=refund.pk, state=Refund.State.REQUESTED, stripe_id=None)
    waiting.update(state=Refund.State.FAILED, words=refused.words[:500])
