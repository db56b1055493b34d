"""Whether a campaign's figures can be refreshed: three failures in a row raise one alert, recovery one note."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from analytics import delays, telling
from analytics.models import RefreshState
from analytics.panels.page import ALL, PANELS

THRESHOLD = 3
QUIET = timedelta(minutes=60)
"""No second alert of the same campaign within that time."""


def scope(campaign_id: int) -> str:
    """The name of a campaign's state."""
    return f"campaign:{campaign_id}"


def matters(panels: Collection[str]) -> bool:
    """Whether a delay of these panels is worth the banner: a main one, or a quarter of all."""
    return any(ALL[name].key for name in panels if name in ALL) or len(panels) >= delays.SHARE * len(PANELS)


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
            if state.consecutive_failures >= delays.TRIES and matters(failed):
                delays.begin(campaign_id=campaign_id, now=now)
            if state.consecutive_failures >= THRESHOLD and state.alerted_at is None:
                _alert(state, name, failed, now)
        else:
            state = rows.select_for_update().get()
            if state.consecutive_failures:
                told = state.alerted_at is not None
                rows.update(consecutive_failures=0, alerted_at=None, succeeded_at=now, recovered_at=now)
                delays.end(campaign_id=campaign_id, now=now)
                if told:
                    telling.recovered(scope=state.scope, name=name, now=now)


def _alert(state: RefreshState, name: str, failed: list[str], now: datetime) -> None:
    if state.alert_sent_at is not None and now - state.alert_sent_at < QUIET:
        return
    RefreshState.objects.filter(pk=state.pk).update(alerted_at=now, alert_sent_at=now)
    telling.failing(scope=state.scope, name=name, failed=failed, failures=state.consecutive_failures, now=now)
