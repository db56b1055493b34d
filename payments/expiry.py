"""Orders whose time to pay is over. Stripe is asked first: a payment whose event is late must not become a problem.

session complete ──▶ as its event would       session open ──▶ expired at Stripe, then here
session expired, or none was ever made ──▶ expired       Stripe does not answer ──▶ asked again in a minute
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from payments import handlers, lookup, orders, requests
from payments.models import Order, StripeRequest
from payments.states import Status
from queues.engine import log
from queues.engine.outcomes import Outcome
from queues.webhooks import stripe_api

GRACE = timedelta(minutes=2)
"""Stripe closes the session at `expires_at` and says so; that event is awaited so long."""
BATCH = 100

logger = log.get(__name__)


def expire_due(*, now: datetime) -> int:
    """Close what nobody paid in time; returns how many orders were decided one way or the other."""
    due = Order.objects.filter(status=Status.PENDING, processing_at=None, expires_at__lt=now - GRACE)
    decided = 0
    for order in due.order_by("expires_at")[:BATCH]:
        try:
            decided += _decide(order, now=now)
        except Outcome as outcome:
            logger.warning("order.expiry_waits", order=order.reference, code=outcome.code)
            if isinstance(outcome, stripe_api.Down | stripe_api.NotSetUp):
                break  # nor would it answer for the others
    return decided


def _decide(order: Order, *, now: datetime) -> int:
    session = _session(order)
    if session is not None and session.get("status") == "open":
        session = _expired(session["id"])
    with transaction.atomic():
        held = orders.locked(order.reference)
        if held is None:
            return 0
        if session is not None and session.get("status") == "complete":
            handlers.book_session(session, now=now)
        else:
            orders.expire(held, now=now)
    return 1


def _session(order: Order) -> Mapping[str, Any] | None:
    """Stripe's session of the order as it is now; None if there is none."""
    if order.session_id:
        try:
            return stripe_api.get(f"/v1/checkout/sessions/{order.session_id}")
        except stripe_api.NotFound:
            return None
    asked = StripeRequest.objects.filter(operation=requests.SESSION, subject=order.reference).first()
    if asked is None or asked.last_sent_at is None:
        return None
    # It was asked for and no answer came: there may be one that we know nothing of.
    return lookup.session_of(order.reference, asked)


def _expired(session_id: str) -> Mapping[str, Any]:
    try:
        made = stripe_api.call(lambda client: client.v1.checkout.sessions.expire(session_id))
    except stripe_api.Refused:  # it was completed in this very moment
        return stripe_api.get(f"/v1/checkout/sessions/{session_id}")
    return dict(made.to_dict())
