"""Error recovery time: from a failure group's first failure until none of its items is affected any more.

A spell begins when a group is seen and has none open, and ends when no item of it is left that is neither done nor
cancelled; both to the minute, as a look every minute tells. Open spells are never dropped: a median over the closed
ones alone would call an endless outage quick (they are right-censored, and counted by the product-limit estimator).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from queues.engine import registry
from queues.engine.failure_groups import FailureGroup
from queues.engine.states import FINISHED
from queues.monitor.models import Recovery

LOOK_BACK = timedelta(minutes=5)
"""Groups seen since then are looked at; a run that was missed that long sees a spell later, not never."""
GROUPS = 200


@dataclass(frozen=True, slots=True)
class Times:
    """Of all spells that began in some time."""

    closed: int
    open: int
    median: timedelta | None
    """None: fewer than half have recovered yet."""
    p90: timedelta | None
    longest_open: timedelta | None


def look(*, now: datetime) -> dict[str, int]:
    """Begin spells of groups that fail, end those of groups that no longer do."""
    began = _begin(now=now)
    ended = 0
    for row in Recovery.objects.filter(recovered_at__isnull=True).order_by("id")[:GROUPS]:
        if not _affected(row.queue, row.fingerprint):
            ended += Recovery.objects.filter(pk=row.pk, recovered_at__isnull=True).update(recovered_at=now)
    return {"began": began, "ended": ended}


def _begin(*, now: datetime) -> int:
    seen = FailureGroup.objects.filter(last_seen_at__gte=now - LOOK_BACK).order_by("-last_seen_at")[:GROUPS]
    rows = []
    for group in seen:
        last = Recovery.objects.filter(queue=group.queue, fingerprint=group.fingerprint).order_by("-failed_at").first()
        if last is not None and last.recovered_at is None:
            continue
        # A group's time is to the minute: it may fail again within the minute in which its last spell ended.
        again = last is not None and last.recovered_at is not None and last.recovered_at >= group.last_seen_at
        if again and not _affected(group.queue, group.fingerprint):
            continue
        rows.append(
            Recovery(
                queue=group.queue,
                fingerprint=group.fingerprint,
                code=group.code,
                failed_at=group.first_seen_at if last is None else now if again else group.last_seen_at,
            )
        )
    return len(Recovery.objects.bulk_create(rows, ignore_conflicts=True))


def _affected(queue: str, fingerprint: str) -> bool:
    """Whether an item still fails so: one probe of the groups' index."""
    try:
        model = registry.get(queue).model
    except LookupError:
        return False
    rows = model._default_manager.filter(~Q(fingerprint=""), fingerprint=fingerprint, hidden_at__isnull=True)
    return rows.exclude(status__in=FINISHED).exists()


def times(*, start: datetime, end: datetime, now: datetime, queue: str = "") -> Times:
    """Median and p90 of the spells that began in that time."""
    rows = Recovery.objects.filter(failed_at__gte=start, failed_at__lt=end)
    if queue:
        rows = rows.filter(queue=queue)
    spells = [
        ((recovered or now) - failed, recovered is not None)
        for failed, recovered in rows.values_list("failed_at", "recovered_at")
    ]
    still = [length for length, over in spells if not over]
    return Times(
        closed=len(spells) - len(still),
        open=len(still),
        median=quantile(spells, 0.5),
        p90=quantile(spells, 0.9),
        longest_open=max(still, default=None),
    )


def quantile(spells: Sequence[tuple[timedelta, bool]], share: float) -> timedelta | None:
    """By the product-limit (Kaplan-Meier) estimator; (length, whether it ended). None: not reached yet."""
    alive, at_risk = 1.0, len(spells)
    for length in sorted({length for length, _ in spells}):
        ended = sum(over for each, over in spells if each == length)
        alive *= 1 - ended / at_risk
        if alive <= 1 - share + 1e-9:
            return length
        at_risk -= sum(1 for each, _ in spells if each == length)
    return None


def open_ones(*, limit: int = 20) -> Iterable[Recovery]:
    """Those that go on, longest first."""
    return Recovery.objects.filter(recovered_at__isnull=True).order_by("failed_at", "id")[:limit]
