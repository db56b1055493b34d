"""What the fake's objects look like when they are new: plain dicts, as JSON has them; names with _ are not shown."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from typing import Any

API_VERSION = "2026-09-30.endive"

type Object = dict[str, Any]


def identity(prefix: str) -> str:
    """A new id."""
    return f"{prefix}_{secrets.token_hex(12)}"


def shown(found: Object) -> Object:
    """As the API shows it: without what only the fake needs."""
    if found.get("object") == "list":
        return found | {"data": [shown(each) for each in found["data"]]}
    return {name: copy.deepcopy(value) for name, value in found.items() if not name.startswith("_")}


def session(given: Mapping[str, Any], *, lines: list[Object], ends: int, page_url: str, now: int) -> Object:
    """A checkout session, open."""
    session_id = identity("cs_test")
    return {
        "id": session_id,
        "object": "checkout.session",
        "mode": "payment",
        "status": "open",
        "payment_status": "unpaid",
        "client_reference_id": given.get("client_reference_id"),
        "metadata": dict(given.get("metadata") or {}),
        "amount_total": sum(line["amount"] for line in lines),
        "currency": lines[0]["currency"],
        "customer_email": given.get("customer_email"),
        "customer_details": None,
        "payment_intent": None,
        "created": now,
        "expires_at": ends,
        "success_url": given["success_url"],
        "cancel_url": given["cancel_url"],
        "url": f"{page_url}{session_id}/",
        "livemode": False,
        "_intent": dict((given.get("payment_intent_data") or {}).get("metadata") or {}),
        "_lines": lines,
    }


def refund(given: Mapping[str, Any], *, charge: Object, amount: int, now: int) -> Object:
    """A refund that went through."""
    return {
        "id": identity("re"),
        "object": "refund",
        "amount": amount,
        "currency": charge["currency"],
        "charge": charge["id"],
        "payment_intent": charge["payment_intent"],
        "status": "succeeded",
        "reason": given.get("reason"),
        "metadata": dict(given.get("metadata") or {}),
        "created": now,
    }


def dispute(charge: Object, *, now: int) -> Object:
    """A dispute that has just begun."""
    return {
        "id": identity("du"),
        "object": "dispute",
        "amount": charge["amount"],
        "currency": charge["currency"],
        "charge": charge["id"],
        "payment_intent": charge["payment_intent"],
        "reason": "fraudulent",
        "status": "needs_response",
        "metadata": {},
        "evidence_details": {"due_by": now + 9 * 86400},
        "created": now,
    }


def intent(session: Object, *, now: int) -> Object:
    """The payment of a session, not tried yet."""
    return {
        "id": identity("pi"),
        "object": "payment_intent",
        "amount": session["amount_total"],
        "amount_received": 0,
        "currency": session["currency"],
        "status": "requires_payment_method",
        "metadata": dict(session["_intent"]),
        "latest_charge": None,
        "last_payment_error": None,
        "created": now,
    }


def charge(intent: Object, *, now: int) -> Object:
    """A charge that went through."""
    return {
        "id": identity("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_refunded": 0,
        "currency": intent["currency"],
        "payment_intent": intent["id"],
        "metadata": dict(intent["metadata"]),
        "paid": True,
        "refunded": False,
        "disputed": False,
        "status": "succeeded",
        "created": now,
    }


def event(kind: str, about: Object, *, now: int) -> Object:
    """An event, with the object as it is now."""
    return {
        "id": identity("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": now,
        "type": kind,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": shown(about)},
    }
