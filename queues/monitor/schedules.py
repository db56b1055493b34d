"""How the clock's schedules went: last run, how long, what failed, and the times that were missed.

django-q2 keeps the last few tasks of all schedules together, so a daily one is forgotten within minutes. Each row has
`ran` as its hook (`recurring.HOOK`), which is told of every run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F
from django.db.models.functions import Greatest
from django_q.models import Schedule

from queues.engine.recurring import PREFIX
from queues.monitor.models import ScheduleState

SLACK = timedelta(seconds=90)
"""The scheduler wakes every 30 s and a worker may be busy: later than that is missed."""
WORDS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A schedule as it stands."""

    pk: int
    name: str
    every: str
    next_at: datetime | None
    overdue: bool
    state: ScheduleState | None

    @property
    def took(self) -> timedelta | None:
        """Of its last run."""
        return self.state.stopped_at - self.state.started_at if self.state else None


def ran(*, name: str, started_at: datetime, stopped_at: datetime, succeeded: bool, words: str) -> None:
    """Note a run of the schedule of that name, and how many times it was missed since the one before."""
    every = _every(name)
    known = ScheduleState.objects.filter(name=name)
    before = known.values_list("started_at", flat=True).first()
    gap = started_at - before if before is not None else timedelta()
    missed = max(int((gap - SLACK) / every), 0) if every and gap > every + SLACK else 0
    seconds = max((stopped_at - started_at).total_seconds(), 0.0)
    fresh: dict[str, Any] = {
        "started_at": started_at,
        "stopped_at": stopped_at,
        "succeeded": succeeded,
        "words": "" if succeeded else words[:WORDS_MAX],
    }
    if missed:
        fresh["missed_at"] = started_at
    if before is None:
        counted = {"longest_seconds": seconds, "runs": 1, "failures": int(not succeeded)}
        ScheduleState.objects.bulk_create([ScheduleState(name=name, **fresh, **counted)], ignore_conflicts=True)
        return
    known.update(
        longest_seconds=Greatest(F("longest_seconds"), seconds),
        runs=F("runs") + 1,
        failures=F("failures") + int(not succeeded),
        missed=F("missed") + missed,
        **fresh,
    )


def lines(*, now: datetime) -> list[Line]:
    """Our schedules, by name."""
    states = {state.name: state for state in ScheduleState.objects.all()}
    return [
        Line(
            pk=row.pk,
            name=row.name.removeprefix(PREFIX),
            every=_spoken(row),
            next_at=row.next_run,
            overdue=row.next_run is not None and row.next_run < now - SLACK,
            state=states.get(row.name),
        )
        for row in _ours().order_by("name")
    ]


def _ours() -> Any:
    return Schedule.objects.filter(name__startswith=PREFIX)


def _every(name: str) -> timedelta | None:
    row = Schedule.objects.filter(name=name).values_list("schedule_type", "minutes").first()
    if row is None:
        return None
    return timedelta(minutes=row[1]) if row[0] == Schedule.MINUTES and row[1] else timedelta(days=1)


def _spoken(row: Any) -> str:
    if row.schedule_type != Schedule.MINUTES:
        return f"daily at {row.next_run:%H:%M}" if row.next_run else "daily"
    return "every minute" if row.minutes == 1 else f"every {row.minutes} minutes"


def forget(*, names: Iterable[str]) -> int:
    """Drop what is known of schedules that are gone."""
    return ScheduleState.objects.exclude(name__in=list(names)).delete()[0]
