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
from django.db.models import F, Q

from analytics import mirror
from analytics.guard import Answer, Failure, Result
from analytics.models import PanelSnapshot
from queues.engine.policy import RetryPolicy

SCHEMA = 1
"""Raise it when a payload changes its shape: what was stored in the old one is not shown in the new."""
FLIGHT = timedelta(seconds=45)
"""After that a flight counts as lost (its process died)."""
BACKGROUND = RetryPolicy(1, 5, 30)
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


def take_off(views: list[View], *, now: datetime) -> tuple[uuid.UUID, set[str]]:
    """Claim the views nobody is computing; returns the flight and its keys."""
    flight = uuid.uuid4()
    if not views:
        return flight, set()
    PanelSnapshot.objects.bulk_create(
        [
            PanelSnapshot(
                key=view.key,
                campaign_id=view.campaign_id,
                panel=view.panel,
                view={"days": view.days, "options": dict(view.options)},
                last_viewed_at=now,
            )
            for view in views
        ],
        ignore_conflicts=True,
    )
    free = Q(flight_until__isnull=True) | Q(flight_until__lt=now)
    # In the order of the keys, so that two pages do not wait for each other crosswise.
    for key in sorted(view.key for view in views):
        PanelSnapshot.objects.filter(free, key=key).update(flight=flight, flight_until=now + FLIGHT)
    return flight, set(PanelSnapshot.objects.filter(flight=flight).values_list("key", flat=True))


def land(flight: uuid.UUID, answers: Mapping[str, Answer], views: Mapping[str, View], *, now: datetime) -> None:
    """Store what came of the flight; what belongs to a later flight by now stays as that one left it."""
    with transaction.atomic():
        for key in sorted(answers):
            mine = PanelSnapshot.objects.filter(key=key, flight=flight)
            match answers[key]:
                case Result() as result:
                    mine.exclude(as_of__gt=result.as_of).update(**_figures(result, now))
                case Failure() as failure:
                    mine.update(**_failure(failure, now))
                    _put_off(mine, now)
            mine.update(flight=None, flight_until=None)
    for key, answer in answers.items():
        if isinstance(answer, Result):
            mirror.write(views[key].campaign_id, key, payload=answer.payload, as_of=answer.as_of, computed_at=now)


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
    return PanelSnapshot.objects.filter(last_viewed_at__lt=now - KEPT).delete()[0]


def _figures(result: Result, now: datetime) -> dict[str, Any]:
    text = json.dumps(result.payload, sort_keys=True)
    return {
        "payload": result.payload,
        "payload_hash": hashlib.sha256(text.encode()).hexdigest(),
        "as_of": result.as_of,
        "computed_at": now,
        "duration_ms": result.milliseconds,
        "last_attempt_at": now,
        "last_outcome": "ok",
        "reference": "",
        "consecutive_failures": 0,
        "next_try_at": None,
    }


def _failure(failure: Failure, now: datetime) -> dict[str, Any]:
    return {
        "last_attempt_at": now,
        "last_outcome": failure.code,
        "reference": failure.reference,
        "consecutive_failures": F("consecutive_failures") + 1,
    }


def _put_off(mine: Any, now: datetime) -> None:
    failures = mine.values_list("consecutive_failures", flat=True).first()
    if failures is not None:
        mine.update(next_try_at=now + next_try(failures))


def next_try(failures: int) -> timedelta:
    """How long to wait after so many failures in a row: 1 s, 5 s, then every 30 s."""
    delay = BACKGROUND.delay(attempts=failures, max_retries=failures)
    assert delay is not None
    return delay
