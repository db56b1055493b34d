"""How queues stand, sampled every minute: what is due, waiting, running, dead, and how old the oldest due item is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, Min, QuerySet

from queues.engine import pruning, registry
from queues.engine.registry import Queue
from queues.engine.states import WAITING, Priority, Status
from queues.monitor import objective
from queues.monitor.models import QueueMinute

CAP = 100_000
"""A backlog is counted up to that; so that a minute's look at a million rows costs what one at this many does."""
KEPT = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Depth:
    """How a queue stood in some time."""

    at: datetime
    due: int
    waiting: int
    dead: int
    oldest: timedelta
    capped: bool = False


def sample(*, now: datetime) -> int:
    """Note how every queue stands; once a minute, whoever comes first. Returns how many were noted."""
    rows = [_look(queue, now=now) for queue in registry.all_queues()]
    return len(QueueMinute.objects.bulk_create(rows, ignore_conflicts=True))


def _look(queue: Queue, *, now: datetime) -> QueueMinute:
    rows = queue.model._default_manager.filter(hidden_at__isnull=True).order_by()
    waiting = rows.filter(status__in=WAITING)
    due = waiting.filter(due_at__lte=now)
    numbers = {
        "due": _count(due),
        "waiting": _count(waiting),
        "running": _count(rows.filter(status=Status.PROCESSING)),
        "dead": _count(rows.filter(status=Status.DEAD_LETTER)),
    }
    # One probe of the claim's index for each priority.
    first = [
        found
        for priority in Priority.values
        if (found := due.filter(priority=priority).order_by("due_at", "id").values_list("due_at", flat=True).first())
    ]
    oldest = max((now - at for at in first), default=timedelta())
    return QueueMinute(
        queue=queue.name,
        minute=objective.minute_of(now),
        oldest_seconds=int(oldest.total_seconds()),
        capped=max(numbers.values()) > CAP,
        **{name: min(number, CAP) for name, number in numbers.items()},
    )


def _count(rows: QuerySet) -> int:  # type: ignore[type-arg]  # of any queue's items
    return rows.values("pk")[: CAP + 1].count()


def series(queue: str, *, start: datetime, end: datetime, step: timedelta) -> list[Depth | None]:
    """The most of each step; None where nobody looked."""
    count = max(-((start - end) // step), 0)
    found: list[Depth | None] = [None] * count
    rows = QueueMinute.objects.filter(queue=queue, minute__gte=start, minute__lt=end).order_by("minute")
    for row in rows.iterator():
        place = (row.minute - start) // step
        held = found[place]
        oldest = timedelta(seconds=row.oldest_seconds)
        found[place] = Depth(
            start + place * step,
            max(row.due, held.due if held else 0),
            max(row.waiting, held.waiting if held else 0),
            max(row.dead, held.dead if held else 0),
            max(oldest, held.oldest if held else timedelta()),
            row.capped or bool(held and held.capped),
        )
    return found


def now_and_before(queue: str) -> tuple[QueueMinute | None, datetime | None]:
    """The newest sample, and since when there are any."""
    rows = QueueMinute.objects.filter(queue=queue)
    return rows.order_by("-minute").first(), rows.aggregate(first=Min("minute"), last=Max("minute"))["first"]


def clean(*, now: datetime) -> int:
    """Delete old samples, a few at once."""
    return pruning.prune(QueueMinute.objects.filter(minute__lt=now - KEPT))
