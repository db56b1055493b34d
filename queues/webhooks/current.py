"""The current state of the object that an event is about, taken from Stripe.

found ─────────────────────────────────▶ its state
404 ── and we know that it was deleted ─▶ what is known of it, with "deleted": True
 └──── else ────────────────────────────▶ Transient: it may be there in a moment
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from queues.engine.outcomes import Permanent, Transient
from queues.webhooks import stripe_api
from queues.webhooks.models import WebhookEvent

NESTED = {
    "bank_account": "",
    "capability": "",
    "card": "",
    "external_account": "",
    "invoiceitem": "/v1/invoiceitems",
    "line_item": "",
    "person": "",
    "source_transaction": "",
    "usage_record_summary": "",
}
"""Objects whose path does not follow from their name; "" for those that live under another object."""


class Unreachable(Permanent):
    """The event does not say where its object is."""


def path_of(about: Mapping[str, Any]) -> str:
    """The path of an embedded object: `/v1/checkout/sessions/cs_1`; "" if it has none.

    As stripe-python makes it (`APIResource.class_url`): the name with slashes for dots, and an s.
    """
    name, identity = about.get("object"), about.get("id")
    if not isinstance(name, str) or not isinstance(identity, str) or not name or not identity:
        return ""
    base = NESTED.get(name, f"/v1/{name.replace('.', '/')}s")
    return f"{base}/{quote(identity, safe='')}" if base else ""


def fetch(item: WebhookEvent, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object's state now, or None if it has none of its own. Raises an outcome: later, or never."""
    about = data.get("related_object") if item.thin else data["data"]["object"]
    if not about:
        return None
    path = str(about.get("url") or "").partition("?")[0] if item.thin else path_of(about)
    if not path:
        if item.thin:
            raise Unreachable("The thin event does not say where its object is.", code="no related object")
        return None
    try:
        if item.thin:
            return stripe_api.get(path, context=item.account)
        return stripe_api.get(path, account=item.account, version=item.api_version)
    except stripe_api.NotFound as error:
        if _deleted(item):
            return {
                **(about if not item.thin else {"id": item.object_id, "object": about.get("type")}),
                "deleted": True,
            }
        raise Transient(error.words, code="stripe object missing") from error


def _deleted(item: WebhookEvent) -> bool:
    """Whether this event, or any other of the same object, says that it was deleted."""
    if item.kind.endswith(".deleted"):
        return True
    others = WebhookEvent.objects.filter(object_id=item.object_id, kind__endswith=".deleted")
    return bool(item.object_id) and others.filter(lane=item.lane).exists()
