"""Recurring work: the table that the project wires, and django-q2's `Schedule` rows made to match it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import connections, router, transaction
from django.utils import timezone
from django_q.models import Schedule

from queues.engine import log, registry

logger = log.get(__name__)

PREFIX = "redrive: "
"""Rows whose name begins so are ours; all others are left alone."""
HOOK = "queues.tasks.schedule_ran"
"""What django-q2 calls after each run of a schedule; it keeps so few tasks that a daily one is soon forgotten."""
SYNC_LOCK = 7_203_511
"""Key of PostgreSQL's advisory lock: two machines that migrate at once do not both create a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurring:
    """One line of the table: what runs, and either every so many minutes or daily at a time (UTC)."""

    name: str
    task: str
    """Dotted path of the function."""
    args: tuple[str | int, ...] = ()
    minutes: int | None = None
    daily_at: time | None = None
    timeout: int | None = None
    """Seconds after which django-q2 ends it, where that is not the setting's."""
    queue: str = ""
    """Wanted only where this queue is registered."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.daily_at is None):
            raise ValueError(f"{self.name}: give either `minutes` or `daily_at`")

    def row(self) -> dict[str, Any]:
        """The columns of the `Schedule` row, but for when it runs next."""
        return {
            "name": PREFIX + self.name,
            "func": self.task,
            "args": repr(self.args) if self.args else None,
            "kwargs": repr({"q_options": {"timeout": self.timeout}}) if self.timeout else None,
            "schedule_type": Schedule.MINUTES if self.minutes else Schedule.DAILY,
            "minutes": self.minutes,
            "repeats": -1,
            "hook": HOOK,
            "cron": None,
            "cluster": None,
            "intended_date_kwarg": None,
        }

    def first_run(self, *, now: datetime) -> datetime:
        """At once, or the next time the clock shows `daily_at`."""
        if self.daily_at is None:
            return now
        today = datetime.combine(now.astimezone(UTC).date(), self.daily_at, tzinfo=UTC)
        return today if today > now else today + timedelta(days=1)

    def fits(self, next_run: datetime | None) -> bool:
        """Whether a row that already runs as often as this one also runs at the right time of the day."""
        return next_run is not None and (
            self.daily_at is None or next_run.astimezone(UTC).time().replace(second=0, microsecond=0) == self.daily_at
        )


_table: list[Recurring] = []


def fill(entries: Iterable[Recurring]) -> None:
    """Make the project's table known; called once, while the apps become ready."""
    _table[:] = entries


def table() -> list[Recurring]:
    """The lines that are wanted here: those of registered queues, and those of none."""
    known = {queue.name for queue in registry.all_queues()}
    return [entry for entry in _table if not entry.queue or entry.queue in known]


def sync(entries: Iterable[Recurring], *, now: datetime) -> Counter[str]:
    """Create, update and delete our rows until they are the entries; a row that already is one keeps its next run.

    Returns how many were created, updated and deleted. Two of these at once give the same as one.
    """
    wanted = {PREFIX + entry.name: entry for entry in entries}
    counts: Counter[str] = Counter()
    using = router.db_for_write(Schedule)
    with transaction.atomic(using=using):
        if connections[using].vendor == "postgresql":
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SYNC_LOCK])
        # Locked in the model's own order, which is also the scheduler's: the two cannot block each other crosswise.
        for row in Schedule.objects.using(using).select_for_update().filter(name__startswith=PREFIX):
            entry = wanted.pop(row.name, None)
            if entry is None:
                row.delete()
                counts["deleted"] += 1
            elif _change(row, entry, now=now):
                counts["updated"] += 1
        for entry in wanted.values():
            Schedule.objects.using(using).create(**entry.row(), next_run=entry.first_run(now=now))
            counts["created"] += 1
    if counts:
        logger.info("schedules.synced", **counts)
    return counts


def after_migrate(*, using: str, **_signal: Any) -> None:
    """Receiver of `post_migrate`: every deployment brings its schedules with it."""
    if using != router.db_for_write(Schedule):
        return
    if Schedule._meta.db_table in connections[using].introspection.table_names():
        sync(table(), now=timezone.now())


def standing(*, now: datetime, overdue: timedelta) -> bool:
    """Whether one of our rows should have run that long ago: the scheduler wakes every 30 s, so it stands still."""
    ours = Schedule.objects.filter(name__startswith=PREFIX, next_run__lt=now - overdue)
    return bool(ours.exclude(repeats=0).exists())


def _change(row: Schedule, entry: Recurring, *, now: datetime) -> bool:
    fields = entry.row()
    rhythm = row.schedule_type == fields["schedule_type"] and row.minutes == fields["minutes"]
    if rhythm and entry.fits(row.next_run):
        changed = {name: value for name, value in fields.items() if getattr(row, name) != value}
    else:
        changed = {**fields, "next_run": entry.first_run(now=now)}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed:
        row.save(update_fields=list(changed))
    return bool(changed)
