"""Where a push stands, in the one word that people are told: the desk, the API and the pages say it through here.

queued ─▶ accepted ─▶ delivered ─▶ opened
   ├─ uncertain       the service may have taken it; tried again, or given up without word
   ├─ failed          refused for good, or its tries are used up
   ├─ expired         its time had passed before it could be sent
   ├─ suppressed      not to be sent: not wished, quiet hours, no address any more
   └─ cancelled       given up by staff
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Case, CharField, Q, Value, When

from notifications.models import PushDelivery
from queues.engine.states import WAITING, Status

WORDS = ("queued", "accepted", "delivered", "opened", "uncertain", "failed", "expired", "suppressed", "cancelled")
SUPPRESSED = "suppressed:"
UNFINISHED = (*WAITING, Status.PROCESSING)

RULES: tuple[tuple[str, Q], ...] = (
    ("opened", Q(opened_at__isnull=False)),
    ("delivered", Q(delivered_at__isnull=False)),
    ("accepted", Q(status=Status.SUCCEEDED)),
    ("uncertain", Q(uncertain_at__isnull=False, status__in=(*UNFINISHED, Status.DEAD_LETTER))),
    ("failed", Q(status=Status.DEAD_LETTER)),
    ("expired", Q(status=Status.CANCELLED, last_code="expired")),
    ("suppressed", Q(status=Status.CANCELLED, last_code__startswith=SUPPRESSED)),
    ("cancelled", Q(status=Status.CANCELLED)),
)
"""The first that fits; "queued" if none does. `word` says the same of a row."""

EXPRESSION = Case(
    *(When(rule, then=Value(word)) for word, rule in RULES), default=Value("queued"), output_field=CharField()
)
"""The word as SQL, to count and filter by."""

SHAPES = {
    "queued": "pending",
    "accepted": "processing",
    "delivered": "good",
    "opened": "good",
    "uncertain": "warning",
    "failed": "bad",
    "expired": "cancelled",
    "suppressed": "paused",
    "cancelled": "cancelled",
}
"""How the desk draws each."""


@dataclass(frozen=True, slots=True)
class Said:
    """The word, and why, where there is something to say."""

    word: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.word} ({self.reason})" if self.reason else self.word


def of(delivery: PushDelivery) -> Said:
    """Where this one stands."""
    if delivery.opened_at is not None:
        return Said("opened")
    if delivery.delivered_at is not None:
        return Said("delivered")
    if delivery.status == Status.SUCCEEDED:
        return Said("accepted")
    if delivery.status == Status.CANCELLED:
        code = delivery.last_code
        if code == "expired":
            return Said("expired")
        if code.startswith(SUPPRESSED):
            return Said("suppressed", code.removeprefix(SUPPRESSED).replace("_", " "))
        return Said("cancelled", code)
    if delivery.uncertain_at is not None:
        return Said("uncertain")
    if delivery.status == Status.DEAD_LETTER:
        return Said("failed", delivery.failed_reason or delivery.last_code)
    return Said("queued", delivery.waits_for)
