"""What the checkout promises, counted for the monitor from the requests to Stripe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from payments.models import Order, StripeRequest
from payments.requests import SESSION
from queues.monitor import timed
from queues.monitor.objective import Spender
from queues.monitor.timed import Timed

PAID_EVENTS = ("checkout.session.completed", "checkout.session.async_payment_succeeded", "payment_intent.succeeded")
"""Events that say an order was paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions(Timed):
    """Checkout sessions: from the order to the page to pay on."""

    model: Any = StripeRequest
    done: str = "answered_at"
    where: Q = field(default_factory=lambda: Q(operation=SESSION))

    def spender(self, row: Any) -> Spender:
        """The order that got no page, or got it late."""
        why = row.last_words or (timed.LATE if row.answered_at else "no session")
        return Spender(label=row.subject, due_at=row.due, why=why[:200], url=_orders([row.subject]))

    def link(self, spenders: Sequence[Spender]) -> str:
        """The desk's list of these orders."""
        return _orders([each.label for each in spenders][: timed.LINKED])


def _orders(references: Sequence[str]) -> str:
    ids = Order.objects.filter(reference__in=references).values_list("pk", flat=True)
    return timed.listed(Order, [("id__in", ",".join(map(str, ids)))]) if ids else ""
