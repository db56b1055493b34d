"""How work flows: what came into each queue and what left it over the last hour, and when its processor runs.

Neither table has an index on time, and needs none: ids grow with time, so the newest `SAMPLE` rows hold the last hour,
or as much of it as there was; a flow that does not reach back an hour says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import TruncMinute
from django.utils import timezone
from django.utils.safestring import SafeString
from django_q.models import Schedule, Task

from queues.desk import bounded, charts
from queues.engine.attempts import Attempt
from queues.engine.recurring import PREFIX
from queues.engine.registry import Queue

SAMPLE = 10_000
HOUR = timedelta(hours=1)
STEP = timedelta(minutes=5)
STEPS = HOUR // STEP
BUDGET_MS = 300


@dataclass(frozen=True, slots=True)
class Flow:
    """Numbers of each five minutes, oldest first. `whole` False: more came than was looked at."""

    came: tuple[int, ...]
    left: tuple[int, ...]
    whole: bool = True

    @property
    def words(self) -> str:
        """The hour in one line."""
        sign = "" if self.whole else "+"
        return f"in the last hour {sum(self.came):,}{sign} came in, {sum(self.left):,}{sign} were done"

    @property
    def chart(self) -> SafeString:
        """Two lines, what came in drawn through and what was done dashed."""
        return charts.lines(("in", self.came), ("out", self.left), words=self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The clock's entry that drains a queue."""

    schedule_id: int
    next_run_at: datetime | None
    last_run_at: datetime | None = None
    failed: bool = False

    def overdue(self) -> bool:
        """Whether it should have been started by now; the clock wakes every 30 s."""
        return self.next_run_at is not None and self.next_run_at <= timezone.now()


def flows(queues: Iterable[Queue], *, now: datetime) -> dict[str, Flow]:
    """Queue name → its flow. A queue whose rows took too long to look at is left out."""
    found: dict[str, Flow] = {}
    try:
        done, done_whole = _minutes(Attempt.objects.filter(outcome__in=("ack", "cancel")), "started_at", "queue", now)
    except bounded.TookTooLong:
        return {}
    for queue in queues:
        try:
            came, whole = _minutes(queue.model._default_manager.all(), "created_at", "", now)
        except bounded.TookTooLong:
            continue
        found[queue.name] = Flow(came.get("", _nothing()), done.get(queue.name, _nothing()), whole and done_whole)
    return found


def _minutes(rows: QuerySet[Any], column: str, by: str, now: datetime) -> tuple[dict[str, tuple[int, ...]], bool]:
    """Rows of each five minutes of the last hour, by the text column `by` ("" for all), and whether these are all."""
    table, first = rows.model._default_manager.order_by("-pk"), now - HOUR
    with bounded.budget(rows.db, milliseconds=BUDGET_MS):
        before = Subquery(table.filter(pk__lte=OuterRef("pk") - SAMPLE).values(column)[:1])
        newest = table.annotate(before=before).values_list("pk", "before").first()
        if newest is None:
            return {}, True
        floor, oldest = newest[0] - SAMPLE, newest[1]
        labels = [by] if by else []
        recent = rows.filter(pk__gt=floor, **{f"{column}__gt": first, f"{column}__lte": now}).order_by()
        counted = recent.annotate(minute=TruncMinute(column)).values_list("minute", *labels)
        numbers = list(counted.annotate(number=Count("pk"))[: SAMPLE + 1])
    found: dict[str, list[int]] = {}
    for minute, *label, number in numbers:
        steps = found.setdefault(label[0] if label else "", [0] * STEPS)
        steps[min(max((minute - first) // STEP, 0), STEPS - 1)] += number
    return {label: tuple(steps) for label, steps in found.items()}, oldest is None or oldest <= first


def _nothing() -> tuple[int, ...]:
    return (0,) * STEPS


def processors(names: Iterable[str]) -> dict[str, Processor]:
    """Queue name → when its processor ran last and runs next; queues without a schedule are left out."""
    wanted = {f"{PREFIX}drain {name}": name for name in names}
    rows = list(Schedule.objects.filter(name__in=list(wanted)).values_list("pk", "name", "next_run", "task"))
    tasks = {
        key: (stopped, success)
        for key, stopped, success in Task.objects.filter(id__in=[task for *_, task in rows if task]).values_list(
            "id", "stopped", "success"
        )
    }
    found = {}
    for pk, name, next_run, task in rows:
        stopped, success = tasks.get(task, (None, True))
        found[wanted[name]] = Processor(schedule_id=pk, next_run_at=next_run, last_run_at=stopped, failed=not success)
    return found
