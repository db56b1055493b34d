"""Snapshots: the last good figures of each view of each panel. A failure never overwrites them; one flight per key.

read ──▶ take_off (who may compute: one) ──▶ guard.ask ──▶ land (figures, or the failure beside the old ones)
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from analytics import mirror
from analytics.guard import Answer, Failure, Result
from analytics.models import PanelSnapshot
from queues.engine import pruning
from queues.engine.policy import RetryPolicy

SCHEMA = 2
"""Raise it when a payload changes its shape: what was stored in the old one is not shown in the new."""
FLIGHT = timedelta(seconds=45)
"""After that a flight counts as lost (its process died)."""
BACKGROUND = RetryPolicy(1, 5, 30)
LATER = timedelta(seconds=10)
"""For that long readers leave to the worker what took longer than they could wait."""
KEPT = timedelta(days=30)
"""After the last look at it."""
VIEW_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at one panel."""

    campaign_id: int
    panel: str
    days: str
    """As in the address: `days=30`."""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same view, different for any other."""
        parts = [SCHEMA, self.campaign_id, self.panel, self.days, sorted(self.options.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read(views: Iterable[View]) -> dict[str, PanelSnapshot]:
    """Those there are, by key."""
    rows = PanelSnapshot.objects.filter(key__in=[view.key for view in views])
    return {row.key: row for row in rows}


def take_off(
    views: list[View], known: Mapping[str, PanelSnapshot], *, now: datetime
) -> tuple[uuid.UUID, dict[str, PanelSnapshot]]:
    """Claim the views nobody is computing; returns the flight and its rows by key."""
    flight = uuid.uuid4()
    missing = [view for view in views if view.key not in known]
    if missing:
        PanelSnapshot.objects.bulk_create([_row(view, now) for view in missing], ignore_conflicts=True)
    free = Q(flight_until__isnull=True) | Q(flight_until__lt=now)
    with transaction.atomic():
        # A row that is locked is being claimed by somebody else.
        found = PanelSnapshot.objects.filter(free, key__in=[view.key for view in views]).order_by("key")
        rows = {row.key: row for row in found.select_for_update(skip_locked=True)}
        PanelSnapshot.objects.filter(pk__in=[row.pk for row in rows.values()]).update(
            flight=flight, flight_until=now + FLIGHT
        )
    return flight, rows


def land(flight: uuid.UUID, answers: Mapping[str, Answer], rows: Mapping[str, PanelSnapshot], *, now: datetime) -> None:
    """Store what came of the flight; what belongs to a later flight by now stays as that one left it."""
    over: dict[str, Any] = {"flight": None, "flight_until": None}
    with transaction.atomic():
        for key in sorted(answers):
            mine, answer = PanelSnapshot.objects.filter(key=key, flight=flight), answers[key]
            if isinstance(answer, Result):
                # Never older figures over newer ones.
                mine.exclude(as_of__gt=answer.as_of).update(**over, **_figures(answer, now)) or mine.update(**over)
            elif isinstance(answer, Failure):
                mine.update(**over, **_failure(answer, rows[key].consecutive_failures + 1, now))
            else:
                mine.update(**over, next_try_at=now + LATER)
    for key, answer in answers.items():
        if isinstance(answer, Result):
            campaign_id = int(answer.payload["campaign"])
            mirror.write(campaign_id, key, payload=answer.payload, as_of=answer.as_of, computed_at=now)


def viewed(rows: Iterable[PanelSnapshot], *, now: datetime) -> None:
    """Note that they were looked at, once a minute at most."""
    stale = [row.pk for row in rows if now - row.last_viewed_at >= VIEW_NOTED_EVERY]
    if stale:
        PanelSnapshot.objects.filter(pk__in=stale).update(last_viewed_at=now)


def watched(*, now: datetime, within: timedelta, limit: int) -> list[PanelSnapshot]:
    """Those somebody looked at lately, whose figures are older than what there is or whose next try is due."""
    due = Q(next_try_at__isnull=True) | Q(next_try_at__lte=now)
    rows = PanelSnapshot.objects.filter(due, last_viewed_at__gte=now - within, campaign__isnull=False)
    return list(rows.order_by("campaign_id", "-last_viewed_at")[:limit])


def clean(*, now: datetime) -> int:
    """Delete those nobody looked at for a month."""
    return pruning.prune(PanelSnapshot.objects.filter(last_viewed_at__lt=now - KEPT))


def _figures(result: Result, now: datetime) -> dict[str, Any]:
    return {
        "payload": result.payload,
        "payload_hash": result.figures,
        "as_of": result.as_of,
        "computed_at": now,
        "duration_ms": result.milliseconds,
        "last_attempt_at": now,
        "last_outcome": "ok",
        "reference": "",
        "consecutive_failures": 0,
        "next_try_at": None,
    }


def _failure(failure: Failure, failures: int, now: datetime) -> dict[str, Any]:
    return {
        "last_attempt_at": now,
        "last_outcome": failure.code,
        "reference": failure.reference,
        "consecutive_failures": failures,
        "next_try_at": now + next_try(failures),
    }


def _row(view: View, now: datetime) -> PanelSnapshot:
    told = {"days": view.days, "options": dict(view.options)}
    return PanelSnapshot(key=view.key, campaign_id=view.campaign_id, panel=view.panel, view=told, last_viewed_at=now)


def next_try(failures: int) -> timedelta:
    """How long to wait after so many failures in a row: 1 s, 5 s, then every 30 s."""
    delay = BACKGROUND.delay(attempts=failures, max_retries=failures)
    assert delay is not None
    return delay
