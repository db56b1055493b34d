"""How staff hear that a campaign's figures cannot be refreshed, and that they can again: the only place that knows."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from queues.email import emails
from queues.engine import log

logger = log.get(__name__)


def failing(*, scope: str, name: str, failed: list[str], failures: int, now: datetime) -> None:
    """Called once when the third refresh in a row failed, in that transaction; `failed`: the panels' names."""
    logger.error("analytics.refresh_failing", scope=scope, panels=failed, failures=failures)
    _mail(
        f"Figures of “{name}” cannot be refreshed",
        f"{failures} refreshes in a row failed; panels: {', '.join(failed)}. Customers see the last confirmed figures "
        "with their age.",
        key=f"analytics:alert:{scope}:{now.isoformat()}",
        now=now,
    )


def recovered(*, scope: str, name: str, now: datetime) -> None:
    """Called once when all panels were refreshed again after `failing`, in that transaction."""
    logger.info("analytics.refresh_recovered", scope=scope)
    _mail(
        f"Figures of “{name}” are up to date again",
        f"All panels were refreshed at {now:%H:%M} UTC.",
        key=f"analytics:recovery:{scope}:{now.isoformat()}",
        now=now,
    )


def _mail(subject: str, text: str, *, key: str, now: datetime) -> None:
    if settings.ALERT_EMAILS:
        clean = " ".join(subject.split())
        emails.enqueue(to=settings.ALERT_EMAILS, subject=clean, text=text, idempotency_key=key, now=now)
