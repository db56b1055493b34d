"""Events that Stripe failed to make are in no list and never delivered; Stripe names the object once it is resolved.

For each a thin event of our own is put into the inbox: its handlers then see the object's current state. Source:
https://docs.stripe.com/webhooks/handle-irrecoverable-events
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from queues.engine import wake
from queues.engine.outcomes import Permanent
from queues.webhooks import handlers, inbox, parsing, stripe_api
from queues.webhooks.models import WebhookEvent

TYPE = "v2.core.health.event_generation_failure.resolved"
SUFFIX = ".made"
"""Follows the id of the notice in the id of the event made for it."""


def impact(event: handlers.Event) -> Mapping[str, Any]:
    """What the notice says is missing: its own payload does not, so Stripe is asked."""
    whole = stripe_api.get(f"/v2/core/events/{event.id}", context=event.account)
    found = (whole.get("data") or {}).get("impact")
    if not isinstance(found, Mapping) or not found.get("event_type") or not found.get("related_object"):
        raise Permanent("The notice does not say which event is missing.", code="no impact")
    return found


@handlers.on(TYPE, name="webhooks.regenerate", fetch=impact)
def regenerate(event: handlers.Event, missing: Mapping[str, Any]) -> None:
    """Put an event of our own into the inbox for the one that was never made."""
    kind = str(missing["event_type"])
    made = {
        "id": f"{event.id}{SUFFIX}",
        "object": "v2.core.event",
        "type": kind if kind.startswith(("v1.", "v2.")) else f"{handlers.THIN_PREFIX}{kind}",
        "created": timezone.now().isoformat(),
        "livemode": event.livemode,
        "context": missing.get("context") or event.account or None,
        "related_object": dict(missing["related_object"]),
        "reason": {"type": "redrive", "made_for": event.id},
    }
    body = json.dumps(made).encode()
    inbox.store(parsed=parsing.parse(body), body=body, arrival=inbox.Arrival(source=WebhookEvent.Source.MADE.value))
    wake.soon(inbox.QUEUE)
