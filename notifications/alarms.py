"""Alert rules about push: lanes that stopped, and answers of a push service that are in no table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from notifications.models import Lane
from notifications.transports import errors
from queues.engine.failure_groups import FailureGroup
from queues.monitor.models import Severity
from queues.monitor.rules import Finding, Rule

QUEUE = "push"
CAPABILITY = "Push notifications"
LATELY = timedelta(hours=1)


def stopped(now: datetime) -> Iterable[Finding]:
    """Lanes that send nothing: a key is wrong, or a whole lot of devices seemed to be gone at once."""
    for row in Lane.objects.filter(state=Lane.State.STOPPED).order_by("app", "transport", "environment"):
        until = f"until {row.until:%H:%M} UTC" if row.until else "until staff resume it"
        yield Finding(
            scope=f"{row.app}/{row.transport}/{row.environment}"[:100],
            words=f"Nothing is pushed through {row} {until}: {row.reason}. {row.words[:200]}".strip(),
            values={"reason": row.reason, "capability": CAPABILITY},
            path="/admin/notifications/lane/",
        )


def unknown(now: datetime) -> Iterable[Finding]:
    """Answers of the last hour that our tables do not know."""
    groups = FailureGroup.objects.filter(
        queue=QUEUE, last_seen_at__gt=now - LATELY, words__startswith=errors.UNKNOWN.words
    )
    for row in groups.order_by("-last_seen_at")[:5]:
        yield Finding(
            scope=row.code[:100],
            words=f"A push service answered {row.code}, which is in no table: {row.words[:200]}",
            path=f"/admin/queues/failuregroup/{row.pk}/change/",
        )


RULES = (
    Rule(
        name="push_lane_stopped",
        title="A push lane stands still",
        severity=Severity.PAGE,
        look=stopped,
        clears=timedelta(0),
        advice="What waits is not charged and no device is harmed. A wrong key: set the right one and resume the lane."
        " Mass invalidation: judge the quarantine first, for a wrong key or environment looks like dead devices.",
    ),
    Rule(
        name="push_answer_unknown",
        title="A push service says something new",
        severity=Severity.TICKET,
        look=unknown,
        advice="It is treated like a failure that passes: tried again, and no device is harmed. Look it up in the"
        " service's documentation and add a row to notifications/transports/errors.py.",
    ),
)
