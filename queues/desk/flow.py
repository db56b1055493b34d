"""How work flows: what came into each queue and what left it over the last hour, and when its processor runs.

Neither table has an index on time, and needs none: ids grow with time, so the newest `SAMPLE` rows hold the last hour,
or as much of it as there was; a flow that does not reach back an hour says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    DateTimeField,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import TruncMinute
from django.utils import timezone
from django.utils.safestring import SafeString
from django_q.models import Schedule, Task

from queues.desk import bounded, charts
from queues.engine.attempts import Attempt
from queues.engine.recurring import PREFIX
from queues.engine.registry import Queue

SAMPLE = 4000
HOUR = timedelta(hours=1)
STEP = timedelta(minutes=5)
STEPS = HOUR // STEP
BUDGET_MS = 300
DONE = ("ack", "cancel")
SIDES = ("came", "left")


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
    """Queue name → its flow, of all queues in one statement; empty if that took too long."""
    wanted = list(queues)
    if not wanted:
        return {}
    done = Attempt.objects.annotate(of=F("queue"), gone=Case(When(outcome__in=DONE, then=1), default=0))
    tables = [_minutes(done, "started_at", "left", now)]
    for queue in wanted:
        came = queue.model._default_manager.annotate(of=Value(queue.name), gone=Value(1))
        tables.append(_minutes(came, "created_at", "came", now))
    try:
        with bounded.budget(tables[0].db, milliseconds=BUDGET_MS):
            rows = list(tables[0].union(*tables[1:], all=True))
    except bounded.TookTooLong:
        return {}
    return {queue.name: _flow(queue.name, rows, now - HOUR) for queue in wanted}


def _minutes(rows: QuerySet[Any], column: str, side: str, now: datetime) -> QuerySet[Any, tuple[Any, ...]]:
    """Of the newest `SAMPLE` rows: how many in each minute of the last hour, and in one more row how many before it."""
    newest = rows.model._default_manager.order_by("-pk").values("pk")[:1]
    recent = rows.filter(pk__gt=Subquery(newest) - SAMPLE).order_by()
    within = Q(**{f"{column}__gt": now - HOUR, f"{column}__lte": now})
    recently = Case(When(within, then=F(column)), default=None, output_field=DateTimeField())
    grouped = recent.annotate(side=Value(side), minute=TruncMinute(recently)).values_list("side", "of", "minute")
    counted: QuerySet[Any, tuple[Any, ...]] = grouped.annotate(number=Sum("gone"), last=Max("pk"))
    return counted


def _flow(queue: str, rows: list[tuple[Any, ...]], first: datetime) -> Flow:
    came, left = [0] * STEPS, [0] * STEPS
    for side, of, minute, number, _last in rows:
        if of == queue and minute is not None:
            (came if side == "came" else left)[min(max((minute - first) // STEP, 0), STEPS - 1)] += number
    sides = {side: [row for row in rows if row[0] == side and (side == "left" or row[1] == queue)] for side in SIDES}
    return Flow(tuple(came), tuple(left), all(_reaches(each) for each in sides.values()))


def _reaches(rows: list[tuple[Any, ...]]) -> bool:
    """Whether the rows looked at are the whole hour: one of them is older, or there are no others."""
    return any(minute is None for _, _, minute, _, _ in rows) or max((row[4] for row in rows), default=0) <= SAMPLE


def processors(names: Iterable[str]) -> dict[str, Processor]:
    """Queue name → when its processor ran last and runs next; queues without a schedule are left out."""
    wanted = {f"{PREFIX}drain {name}": name for name in names}
    last = Task.objects.filter(id=OuterRef("task"))
    rows = Schedule.objects.filter(name__in=list(wanted)).annotate(
        stopped=Subquery(last.values("stopped")[:1]), success=Subquery(last.values("success")[:1])
    )
    return {
        wanted[name]: Processor(schedule_id=pk, next_run_at=next_run, last_run_at=stopped, failed=success is False)
        for pk, name, next_run, stopped, success in rows.values_list("pk", "name", "next_run", "stopped", "success")
    }
