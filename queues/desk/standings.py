"""How all queues stand, in one statement: their capped counts from the partial indexes, and the oldest due item.

Everything is a scalar subquery, hung on one row of a table that always has some, so that neither the number of queues
nor an empty one changes how often the database is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Subquery

from queues.desk import bounded
from queues.desk.bounded import Capped, Count
from queues.engine.item import QueueItem
from queues.engine.registry import Queue
from queues.engine.states import WAITING, Priority, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One queue's numbers; a number that took too long to count is unknown (`Count(None)`)."""

    waiting: Count
    retrying: Count
    running: Count
    dead: Count
    oldest_due_at: datetime | None = None


UNKNOWN = Standing(waiting=Count(None), retrying=Count(None), running=Count(None), dead=Count(None))


def of(queues: Sequence[Queue], *, now: datetime) -> dict[str, Standing]:
    """Queue name → how it stands. If all together take too long, each is asked by itself."""
    try:
        return _of(queues, now)
    except bounded.TookTooLong:
        return {queue.name: _alone(queue, now) for queue in queues}


def dead(models: Iterable[type[QueueItem]], *, cap: int) -> list[Count]:
    """How many dead letters each has, up to `cap`; for the navigation."""
    parts = {
        f"dead_{place}": _capped(_shown(model).filter(status=Status.DEAD_LETTER), cap)
        for place, model in enumerate(models)
    }
    try:
        numbers = _one_row(parts, milliseconds=300) if parts else ()
    except bounded.TookTooLong:
        return [Count(None)] * len(parts)
    return [Count(min(number, cap), capped=number > cap) for number in numbers]


def _alone(queue: Queue, now: datetime) -> Standing:
    try:
        return _of([queue], now)[queue.name]
    except bounded.TookTooLong:
        return UNKNOWN


def _of(queues: Sequence[Queue], now: datetime) -> dict[str, Standing]:
    if not queues:
        return {}
    parts: dict[str, Any] = {}
    for place, queue in enumerate(queues):
        # What waits or runs cannot have been purged: not asking that leaves these counts to the indexes alone.
        rows = queue.model._default_manager
        states = {
            "waiting": rows.filter(status__in=WAITING),
            "retrying": rows.filter(status=Status.RETRYING),
            "running": rows.filter(status=Status.PROCESSING),
            "dead": _shown(queue.model).filter(status=Status.DEAD_LETTER),
        }
        parts |= {f"{name}_{place}": _capped(found, bounded.CAP) for name, found in states.items()}
        parts |= {f"due_{priority}_{place}": _oldest(queue.model, priority, now) for priority in Priority.values}
    named = dict(zip(parts, _one_row(parts, milliseconds=bounded.BUDGET_MS), strict=True))
    return {queue.name: _standing(named, place) for place, queue in enumerate(queues)}


def _standing(named: dict[str, Any], place: int) -> Standing:
    def count(name: str) -> Count:
        number = named[f"{name}_{place}"]
        return Count(min(number, bounded.CAP), capped=number > bounded.CAP)

    due = [at for priority in Priority.values if (at := named[f"due_{priority}_{place}"]) is not None]
    states = {name: count(name) for name in ("waiting", "retrying", "running", "dead")}
    return Standing(**states, oldest_due_at=min(due, default=None))


def _shown(model: type[QueueItem]) -> Any:
    return model._default_manager.filter(hidden_at__isnull=True)


def _capped(rows: Any, cap: int) -> Capped:
    return Capped(rows.order_by().values("pk")[: cap + 1])


def _oldest(model: type[QueueItem], priority: int, now: datetime) -> Subquery:
    """Since when the oldest due item of a priority has been waiting: one probe of the claim's own index."""
    due = model._default_manager.filter(status__in=WAITING, due_at__lte=now, priority=priority)
    return Subquery(due.order_by("due_at", "id").values("due_at")[:1])


def _one_row(parts: dict[str, Any], *, milliseconds: int) -> tuple[Any, ...]:
    table = ContentType.objects.order_by()
    with bounded.budget(table.db, milliseconds=milliseconds):
        found: tuple[Any, ...] | None = table.annotate(**parts).values_list(*parts).first()
    return found if found is not None else (0,) * len(parts)
