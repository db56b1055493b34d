"""One panel as it is shown: which figures, how old, and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from analytics import freshness, periods, snapshots
from analytics.freshness import Badge
from analytics.guard import Answer, Failure, Later, Result
from analytics.models import PanelSnapshot
from analytics.panels.page import ALL
from analytics.panels.panel import Panel
from analytics.periods import Period
from analytics.snapshots import View


@dataclass(frozen=True, slots=True)
class Shown:
    """One panel as it is shown."""

    panel: Panel
    view: View
    payload: dict[str, Any] | None
    as_of: datetime | None
    computed_at: datetime | None
    badge: Badge
    code: str = ""
    failures: int = 0
    next_try_at: datetime | None = None
    source: str = "snapshot"
    attempts: int = 0
    figures: str = ""
    """The hash of the payload, if it is known: the same hash, the same drawing."""
    other_days: str = ""
    """Of figures that are not of the days asked for: which days they are of."""

    @property
    def delayed(self) -> bool:
        """Whether its last refresh failed."""
        return self.badge.state in (freshness.SAVED, freshness.UNAVAILABLE)


def make(
    view: View, row: PanelSnapshot | None, answer: Answer | None, waits: bool, period: Period, now: datetime
) -> Shown:
    """The answer's figures if there are, else those of the snapshot, whatever has failed since. `waits`: somebody is
    fetching newer ones.
    """
    payload, as_of, computed_at, source, attempts, figures = None, None, None, "snapshot", 0, ""
    if isinstance(answer, Result):
        payload, as_of, computed_at, source = answer.payload, answer.as_of, now, "rollup"
        attempts, figures = answer.attempts, answer.figures
    elif row is not None and row.payload is not None and row.payload.get("campaign") == view.campaign_id:
        payload, as_of, computed_at, figures = row.payload, row.as_of, row.computed_at, row.payload_hash
    code, reference, failures, next_try_at = "", "", 0, None
    if isinstance(answer, Failure):
        code, reference, attempts = answer.code, answer.reference, answer.attempts
        failures = max(row.consecutive_failures, 1) if row else 1
        next_try_at = (row.next_try_at if row else None) or now + snapshots.next_try(failures)
    elif not isinstance(answer, Result) and row is not None and row.last_outcome not in ("", "ok"):
        code, reference, failures, next_try_at = (
            row.last_outcome,
            row.reference,
            row.consecutive_failures,
            row.next_try_at,
        )
    elif row is not None and row.next_try_at is not None and row.next_try_at > now:
        waits = True  # left to a worker a moment ago
    zone = period.zone
    kind = freshness.state(
        has_figures=payload is not None,
        as_of=as_of,
        failed=bool(code),
        in_flight=waits or isinstance(answer, Later),
        empty=bool(payload and payload["empty"]),
        now=now,
    )
    days = periods.words(period.first, period.last)
    other = ""
    if payload is not None and payload["from"] != period.first.isoformat():
        other = periods.words(date.fromisoformat(payload["from"]), date.fromisoformat(payload["to"]))
    badge = freshness.badge(
        kind,
        as_of=as_of,
        now=now,
        zone=zone,
        next_try_at=next_try_at,
        code=code,
        reference=reference,
        days=other or days,
    )
    return Shown(
        ALL[view.panel],
        view,
        payload,
        as_of,
        computed_at,
        badge,
        code,
        failures,
        next_try_at,
        source,
        attempts,
        figures,
        other,
    )
