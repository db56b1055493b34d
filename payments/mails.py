"""The mails of the money side, each enqueued once by its key, in the transaction of what it tells."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from payments import money
from payments.models import Order, Refund
from queues.email import emails, types
from queues.engine import log
from queues.engine.states import Priority

logger = log.get(__name__)

RECEIPT = types.EmailType(
    name="order_receipt",
    priority=Priority.HIGH,
    essential=True,
    resend_uncertain=True,  # a receipt that never came costs more than one that came twice
    expires_after=timedelta(days=7),
)
REFUND = types.EmailType(name="order_refund", essential=True, resend_uncertain=True, expires_after=timedelta(days=7))


def receipt(order: Order, *, now: datetime) -> None:
    """Thank the customer for a payment."""
    lines = [
        {
            "name": line["name"],
            "quantity": line["quantity"],
            "total": money.show(line["unit_amount"] * line["quantity"], order.currency),
        }
        for line in order.lines
    ]
    context = {"reference": order.reference, "lines": lines, "total": money.show(order.amount_paid, order.currency)}
    _enqueue(order, kind=RECEIPT.name, template="payments/receipt", context=context, key=order.reference, now=now)


def refunded(order: Order, refund: Refund, *, now: datetime) -> None:
    """Tell the customer that money is on its way back."""
    context = {"reference": order.reference, "amount": money.show(refund.amount, refund.currency)}
    key = f"{order.reference}:{refund.stripe_id}"
    _enqueue(order, kind=REFUND.name, template="payments/refund", context=context, key=key, now=now)


def _enqueue(order: Order, *, kind: str, template: str, context: dict[str, Any], key: str, now: datetime) -> None:
    if not order.email:
        return
    try:
        emails.enqueue(
            to=[order.email],
            template=template,
            context=context,
            email_type=kind,
            metadata={"order": order.reference},
            idempotency_key=f"{kind}:{key}",
            now=now,
        )
    except emails.Invalid as error:
        # An address nobody can write to must not keep the money from being booked. Nothing was stored of the mail.
        logger.error("order.mail_invalid", order=order.reference, kind=kind, field=error.field)
