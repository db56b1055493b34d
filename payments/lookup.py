"""Whose payment is it? Refunds and disputes name a payment or a charge; what was sold for it, we or Stripe must know.

Asked before the handler's transaction, so that the network is allowed: only when our own tables do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from payments.models import Dispute, Order, Problem, Refund, StripeRequest
from queues.engine.outcomes import Transient
from queues.webhooks import stripe_api
from queues.webhooks.handlers import Event

CLOCKS_DIFFER = timedelta(minutes=5)
METADATA = "redrive_order"
"""The name under which Stripe's objects carry an order's reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """`reference` of the order, "" if none; `ours` if it is a payment of ours all the same (for an unknown order)."""

    reference: str = ""
    ours: bool = False
    refunds: tuple[Mapping[str, Any], ...] = ()


def reference_in(found: Mapping[str, Any]) -> str:
    """The order's reference that the object carries, "" if it is not about one of ours."""
    metadata = found.get("metadata")
    return str(metadata.get(METADATA) or "")[:100] if isinstance(metadata, Mapping) else ""


def reference_of(event: Event) -> str:
    """The same of an event's object; "" if it happened in a connected account, whose owner writes what he likes."""
    return "" if event.account else reference_in(event.object)


def owner(event: Event) -> Owner:
    """The order that the event's refund, dispute or charge belongs to. Raises what Stripe's answer means."""
    if event.account:
        return Owner()  # a connected account's payment: not from our checkout
    found = event.object
    is_charge = found.get("object") == "charge"
    intent = identity(found.get("payment_intent"))
    charge = identity(found.get("id") if is_charge else found.get("charge"))
    if carried := reference_in(found):
        return Owner(reference=carried, ours=True)
    if known := _known(intent, charge, found):
        return known
    return _asked(intent, charge)


def owner_and_refunds(event: Event) -> Owner:
    """The same for a charge, with its refunds: those it carries if they are all, else Stripe's list."""
    found = owner(event)
    if not (found.reference or found.ours):
        return found
    held = event.object.get("refunds")
    if isinstance(held, Mapping) and held.get("data") and not held.get("has_more"):
        return replace(found, refunds=tuple(held["data"]))
    charge = identity(event.object.get("id"))
    return replace(found, refunds=tuple(listed("/v1/refunds", {"charge": charge})))


def listed(path: str, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every object of one of Stripe's lists, page after page. Raises the outcomes of `stripe_api`."""
    after: dict[str, str] = {}
    while True:
        page = stripe_api.get(path, params={**params, "limit": 100, **after})
        yield from page["data"]
        if not page.get("has_more") or not page["data"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


def session_of(reference: str, asked: StripeRequest) -> Mapping[str, Any] | None:
    """The checkout session made for an order, among those of the time in which it was asked for."""
    last = asked.last_sent_at or asked.created_at
    window = {
        "created[gte]": int((asked.created_at - CLOCKS_DIFFER).timestamp()),
        "created[lte]": int((last + CLOCKS_DIFFER).timestamp()),
    }
    found = listed("/v1/checkout/sessions", window)
    return next((each for each in found if each.get("client_reference_id") == reference), None)


def identity(value: Any) -> str:
    """The id of an object that is given by its id or, expanded, whole."""
    return str(value.get("id") or "") if isinstance(value, Mapping) else str(value or "")


def _known(intent: str, charge: str, found: Mapping[str, Any]) -> Owner | None:
    """By our own tables."""
    order = Order.objects.filter(payment_intent=intent).first() if intent else None
    if order is None and charge:
        order = Order.objects.filter(charge=charge).first()
    if order is None:
        order = _of_our_refund(found)
    if order is not None:
        return Owner(reference=order.reference, ours=True)
    if not intent:
        return None
    for model in (Problem, Refund, Dispute):
        row = model._default_manager.filter(payment_intent=intent).select_related("order").first()
        if row is not None:
            return Owner(reference=row.order.reference if row.order else "", ours=True)
    return None


def _of_our_refund(found: Mapping[str, Any]) -> Order | None:
    try:
        key = UUID((found.get("metadata") or {}).get("redrive_refund"))
    except (ValueError, TypeError, AttributeError):
        return None
    refund = Refund.objects.filter(key=key).select_related("order").first()
    return refund.order if refund else None


def _asked(intent: str, charge: str) -> Owner:
    """By the payment, else the charge, at Stripe: they carry our metadata."""
    if not (intent or charge):
        return Owner()
    try:
        asked = stripe_api.get(f"/v1/payment_intents/{intent}" if intent else f"/v1/charges/{charge}")
    except stripe_api.NotFound as missing:
        # An event can be faster than the object it is about: later it is there, and if not, staff will see it.
        raise Transient(missing.words, code=missing.code) from missing
    reference = reference_in(asked)
    return Owner(reference=reference, ours=bool(reference))
