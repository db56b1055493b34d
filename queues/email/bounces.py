"""Whether a provider's bounce means that the address is dead: Anymail calls hard and soft bounces alike `bounced`.

Soft bounces (mailbox full, message too large, policy) must not suppress an address; a doubt counts as soft.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason

from queues.email import classify

HARD_SIGNS: dict[str, tuple[str, frozenset[object]]] = {
    "Amazon SES": ("bounce.bounceType", frozenset({"Permanent"})),
    "Brevo": ("event", frozenset({"hard_bounce", "invalid_email"})),
    "MailerSend": ("data.type", frozenset({"hard_bounced"})),
    "Mailgun": ("event-data.reason", frozenset({"bounce", "suppress-bounce"})),
    "Mailjet": ("hard_bounce", frozenset({True})),
    "Mailtrap": ("event", frozenset({"bounce"})),
    "Mandrill": ("event", frozenset({"hard_bounce"})),
    "Postmark": ("Type", frozenset({"HardBounce", "BadEmailAddress"})),
    "Resend": ("data.bounce.type", frozenset({"Permanent"})),
    "SendGrid": ("type", frozenset({"bounce"})),
    "SparkPost": ("msys.*.bounce_class", frozenset({"10", "30"})),
    "Unisender Go": (
        "delivery_info.delivery_status",
        frozenset({"err_user_unknown", "err_user_inactive", "err_domain_inactive", "err_mailbox_discarded"}),
    ),
}
"""Anymail's name of the provider -> where its event says so, and its words for "hard" (from its webhook pages)."""

_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")


def is_hard(event: AnymailTrackingEvent, *, provider: str) -> bool:
    """Whether this event says that the recipient's address does not work and will not.

    The server's own enhanced status code, where the provider passes it on, wins over the provider's label.
    """
    if event.event_type not in (EventType.BOUNCED, EventType.REJECTED):
        return False
    if event.reject_reason == RejectReason.INVALID:
        return True
    codes = _ENHANCED.findall(str(event.mta_response or ""))
    if codes:
        return any(code in classify.HARD for code in codes)
    if provider in HARD_SIGNS:
        path, hard = HARD_SIGNS[provider]
        return _at(event.esp_event, path.split(".")) in hard
    return False


def _at(value: Any, path: list[str]) -> Any:
    """What stands at the path in nested mappings (`*`: the only value there), None if it is not there."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = next(iter(value.values()), None) if name == "*" else value.get(name)
    return value if isinstance(value, str | bool) else None
