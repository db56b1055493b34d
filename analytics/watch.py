"""Whether a campaign's figures can be refreshed: three failures in a row raise one alert, recovery one note."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F

from analytics.models import RefreshState
from queues.email import emails
from queues.engine import log

THRESHOLD = 3
QUIET = timedelta(minutes=60)
"""No second alert of the same campaign within that time."""

logger = log.get(__name__)


def scope(campaign_id: int) -> str:
    """The name of a campaign's state."""
    return f"campaign:{campaign_id}"


def refreshed(*, campaign_id: int, name: str, failed: list[str], known: RefreshState | None, now: datetime) -> None:
    """Note how a refresh of a campaign went; `failed`: the panels' names. Writes nothing while all is well."""
    if not failed and (known is None or not known.consecutive_failures):
        return
    with transaction.atomic():
        RefreshState.objects.bulk_create([RefreshState(scope=scope(campaign_id))], ignore_conflicts=True)
        rows = RefreshState.objects.filter(scope=scope(campaign_id))
        if failed:
            rows.update(consecutive_failures=F("consecutive_failures") + 1)
            state = rows.select_for_update().get()
            if state.consecutive_failures >= THRESHOLD and state.alerted_at is None:
                _alert(state, name, failed, now)
        else:
            state = rows.select_for_update().get()
            if state.consecutive_failures:
                told = state.alerted_at is not None
                rows.update(consecutive_failures=0, alerted_at=None, succeeded_at=now, recovered_at=now)
                if told:
                    _recovered(state, name, now)


def _alert(state: RefreshState, name: str, failed: list[str], now: datetime) -> None:
    if state.alert_sent_at is not None and now - state.alert_sent_at < QUIET:
        return
    RefreshState.objects.filter(pk=state.pk).update(alerted_at=now, alert_sent_at=now)
    logger.error("analytics.refresh_failing", scope=state.scope, panels=failed, failures=state.consecutive_failures)
    _mail(
        f"Figures of “{name}” cannot be refreshed",
        f"{state.consecutive_failures} refreshes in a row failed; panels: {', '.join(failed)}. Customers see the last "
        "confirmed figures with their age.",
        key=f"analytics:alert:{state.scope}:{now.isoformat()}",
        now=now,
    )


def _recovered(state: RefreshState, name: str, now: datetime) -> None:
    logger.info("analytics.refresh_recovered", scope=state.scope)
    _mail(
        f"Figures of “{name}” are up to date again",
        f"All panels were refreshed at {now:%H:%M} UTC.",
        key=f"analytics:recovery:{state.scope}:{now.isoformat()}",
        now=now,
    )


def _mail(subject: str, text: str, *, key: str, now: datetime) -> None:
    if settings.ALERT_EMAILS:
        clean = " ".join(subject.split())
        emails.enqueue(to=settings.ALERT_EMAILS, subject=clean, text=text, idempotency_key=key, now=now)
