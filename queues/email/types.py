"""E-mail types: what `email_type` means for a mail's priority, unsubscription and the rule for an uncertain one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from queues.engine.states import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailType:
    """`bulk`: carries RFC 8058 one-click unsubscription and obeys unsubscriptions.
    `essential`: still goes to an address that complained (a password reset); never to one that bounced.
    `resend_uncertain`: sent again when it may or may not have arrived; otherwise it becomes a dead letter then.
    """

    name: str
    priority: Priority = Priority.NORMAL
    bulk: bool = False
    essential: bool = False
    resend_uncertain: bool = False
    expires_after: timedelta | None = None


PASSWORD_RESET = EmailType(
    name="password_reset",
    priority=Priority.URGENT,
    essential=True,
    resend_uncertain=True,
    expires_after=timedelta(hours=24),
)
NEWSLETTER = EmailType(name="newsletter", priority=Priority.LOW, bulk=True)

_types: dict[str, EmailType] = {}


def register(*types: EmailType) -> None:
    """Make types known; apps do it in `AppConfig.ready`."""
    _types.update({each.name: each for each in types})


def get(name: str) -> EmailType:
    """The type of that name; an unknown one is an ordinary mail of normal priority."""
    return _types.get(name) or EmailType(name=name)


register(PASSWORD_RESET, NEWSLETTER)
