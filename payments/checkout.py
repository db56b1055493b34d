"""Checkout: an order, and Stripe's page to pay it on. The same key gives the same order and the same page, for ever.

limits ─▶ key known? ─▶ prices from the catalogue ─▶ order (pending) ─▶ session at Stripe, once (`requests`)
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser

from payments import catalogue, lookup, requests
from payments.lookup import METADATA
from payments.models import Order
from payments.states import Status
from queues.email import addresses
from queues.engine import limiter
from queues.engine.limiter import Grant
from queues.engine.outcomes import Transient
from queues.engine.registry import Limit
from queues.webhooks import stripe_api

OPEN_FOR = timedelta(hours=1)
"""How long the customer may take to pay; Stripe wants 30 minutes at least, counted from when the session is made."""
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letters that are taken for digits."""


class TooMany(Exception):
    """The limit that refused, and from when on it may grant."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        super().__init__(grant.limit)


class KeyConflict(ValueError):
    """The idempotency key was used before for other wishes."""


class Over(ValueError):
    """The order of this key ended before Stripe had a page for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The order with its session, and whether an earlier call had made the order."""

    order: Order
    repeated: bool


def begin(
    *, user: AbstractBaseUser, items: Sequence[catalogue.Item], key: str | None, address: str, now: datetime
) -> Begun:
    """Make the order and its session. Outside a transaction.

    Raises TooMany, catalogue.Refused, KeyConflict, Over, or the outcome of Stripe's answer: then the same key may be
    used again, and nothing is made twice.
    """
    limits = limits_of(user=user, address=address)
    grant = limiter.take(limits)
    if not grant.granted:
        raise TooMany(grant)
    order, repeated = _order(user=user, items=items, key=key, now=now)
    if order.session_id:
        return Begun(order=order, repeated=repeated)
    if order.status != Status.PENDING:
        raise Over(order.reference)
    try:
        requests.once(_session(order))
    except Transient as outcome:
        if not outcome.charged:  # Stripe was not even asked
            limiter.give_back(limits, granted_at=grant.at)
        raise
    order.refresh_from_db()
    return Begun(order=order, repeated=repeated)


def limits_of(*, user: AbstractBaseUser, address: str) -> tuple[Limit, Limit]:
    """What every request counts against."""
    return Limit("checkout.user", str(user.pk)), Limit("checkout.address", address)


def _order(
    *, user: AbstractBaseUser, items: Sequence[catalogue.Item], key: str | None, now: datetime
) -> tuple[Order, bool]:
    wished = hashlib.sha256(json.dumps([[each.sku, each.quantity] for each in items]).encode()).hexdigest()
    if key is not None:
        known = Order.objects.filter(user_id=user.pk, idempotency_key=key).first()
        if known is not None:
            return _same(known, wished), True
    quote = catalogue.quote(items)
    values: dict[str, Any] = {
        "reference": reference(),
        "email": _address_of(user),
        "content_hash": wished,
        "lines": quote.lines,
        "currency": quote.currency,
        "amount": quote.amount,
        "created_at": now,
        "expires_at": now + OPEN_FOR,
    }
    if key is None:
        return Order.objects.create(user_id=user.pk, **values), False
    order, new = Order.objects.get_or_create(user_id=user.pk, idempotency_key=key, defaults=values)
    return _same(order, wished), not new


def _same(order: Order, wished: str) -> Order:
    if order.content_hash != wished:
        raise KeyConflict(order.reference)
    return order


def reference() -> str:
    """A new one: 50 random bits, short enough to be read out on the telephone."""
    return "R-" + "".join(secrets.choice(ALPHABET) for _ in range(10))


def _address_of(user: AbstractBaseUser) -> str:
    try:
        return addresses.normalize(str(getattr(user, "email", "") or ""))
    except ValueError:
        return ""  # Stripe's page asks for one


def _session(order: Order) -> requests.Creation:
    def keep(found: requests.Found) -> None:
        Order.objects.filter(pk=order.pk, session_id="").update(
            session_id=found["id"], session_url=found.get("url") or ""
        )

    def create(key: str) -> dict[str, Any]:
        wished = _wished(order)
        try:
            made = stripe_api.call(lambda client: client.v1.checkout.sessions.create(wished), idempotency_key=key)
        except stripe_api.Refused as refused:
            if refused.param == "expires_at":  # made so late, it would be open for less than Stripe permits
                raise Over(order.reference) from refused
            raise
        return dict(made.to_dict())

    return requests.Creation(
        operation=requests.SESSION,
        subject=order.reference,
        create=create,
        look=lambda row: lookup.session_of(order.reference, row),
        keep=keep,
    )


def _wished(order: Order) -> Any:
    """The session's parameters: the same at every call, or Stripe refuses the key."""
    carried = {METADATA: order.reference}
    back = return_url(order)
    return {
        "mode": "payment",
        "client_reference_id": order.reference,
        "metadata": carried,
        "payment_intent_data": {"metadata": carried},
        "line_items": [
            {
                "quantity": line["quantity"],
                "price_data": {
                    "currency": order.currency,
                    "unit_amount": line["unit_amount"],
                    "product_data": {"name": line["name"], "metadata": {"sku": line["sku"]}},
                },
            }
            for line in order.lines
        ],
        "success_url": f"{back}?order={order.reference}&checkout=done",
        "cancel_url": f"{back}?order={order.reference}&checkout=left",
        "expires_at": int(order.expires_at.timestamp()),
        **({"customer_email": order.email} if order.email else {}),
    }


def return_url(order: Order) -> str:
    """Where Stripe sends the customer afterwards: a setting, never the client's word."""
    return str(getattr(settings, "CHECKOUT_RETURN_URL", "") or f"{settings.BASE_URL}/")
