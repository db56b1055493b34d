"""Sources of queue items: by when the item was first wanted, whatever became of it later.

good      done within the target, if only the first time: a replay does not make it late, nor a redrive in time
excluded  cancelled within it (suppressed, discarded by staff, nothing to do); what expired is bad
paused    late, while staff had its queue or type paused
bad       dead, done too late, or unfinished past the target
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Exists, F, FloatField, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, TruncMinute

from queues.email.models import EmailMessage, TrackingEvent
from queues.engine.attempts import Attempt
from queues.engine.item import QueueItem
from queues.engine.states import Status
from queues.monitor import durations, timed
from queues.monitor.models import PauseSpan
from queues.monitor.objective import Spender
from queues.monitor.timed import Timed, said

RUN_MAX = timedelta(minutes=3)
"""Longer than any run takes: a run that ended in a minute began that long before at most."""
SPANS = 50
EXPIRED = "expired"


def _wanted() -> Any:
    return Coalesce("first_due_at", "created_at")


def _old(before: datetime) -> Case:
    """1 if it was due before. Not as a plain condition: no plan may begin with everything that is old."""
    return Case(When(due__lt=before, then=Value(1)), default=Value(0), output_field=IntegerField())


def minutes(rows: QuerySet[Any]) -> Iterable[datetime]:
    """The minutes in which these were due."""
    found: Iterable[datetime] = (
        rows.order_by().annotate(minute=TruncMinute("due")).values_list("minute", flat=True).distinct()
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Items(Timed):
    """The items of one queue."""

    model: type[QueueItem]
    queue: str
    done: str = "succeeded_at"
    due: Any = field(default_factory=_wanted)
    excused: Q | None = None
    """What is excluded although it was not cancelled."""

    def timed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """With `took`; of an item that ran again after it was finished, from its history."""
        took = durations.Milliseconds(F("due"), F(self.done))
        first = (
            Attempt.objects.filter(queue=self.queue, item_id=OuterRef("pk"), outcome="ack", started_at__isnull=False)
            .annotate(took=durations.Milliseconds(OuterRef("due"), F("started_at")) + F("duration_ms"))
            .order_by("id")
            .values("took")[:1]
        )
        again = When(runs__gt=F("attempts"), then=Coalesce(Subquery(first), took))
        with_took: QuerySet[Any] = rows.annotate(
            took=Case(again, default=took), cancelled=durations.Milliseconds(F("due"), F("cancelled_at"))
        )
        return with_took

    def verdict(self, start: datetime, end: datetime, *, now: datetime) -> Case:
        """See above."""
        over = Q(took__isnull=False) | Q(status__in=(Status.DEAD_LETTER, Status.CANCELLED))
        return said(
            When(took__lte=self.limit, then=Value("good")),
            *([When(self.excused, then=Value("excluded"))] if self.excused else []),
            When(Q(status=Status.CANCELLED, cancelled__lte=self.limit) & ~Q(last_code=EXPIRED), then=Value("excluded")),
            *(When(each, then=Value("paused")) for each in self._paused(start, end, now=now)),
            When(over | Q(due__lt=now - self.within), then=Value("bad")),
        )

    def _paused(self, start: datetime, end: datetime, *, now: datetime) -> list[Q]:
        """One condition for each pause that lay within somebody's target."""
        spans = PauseSpan.objects.filter(
            Q(ends_at__isnull=True) | Q(ends_at__gt=start), queue=self.queue, began_at__lt=end + self.within
        )
        return [
            Q(due__gt=span.began_at - self.within, due__lt=span.ends_at or now)
            & ~Q(status=Status.DEAD_LETTER)
            & (Q(kind=span.kind) if span.kind else Q())
            for span in spans.order_by("-began_at")[:SPANS]
        ]

    def late(self, since: datetime, until: datetime) -> Iterable[datetime]:
        """Minutes of what was done only now: whether it was good was known, but not how long it took."""
        return minutes(self.late_rows(since, until))

    def late_rows(self, since: datetime, until: datetime) -> QuerySet[Any]:
        """The items that were done in that time, long after they were due."""
        ran = Attempt.objects.filter(
            queue=self.queue, outcome="ack", started_at__gte=since - RUN_MAX, started_at__lt=until
        )
        rows = self.model._default_manager.annotate(due=self.due)
        return (
            rows.filter(self.where, pk__in=ran.values("item_id")).annotate(old=_old(since - self.within)).filter(old=1)
        )

    def spender(self, row: Any) -> Spender:
        """One item in words."""
        cause = row.last_code or ("waits" if row.status in (Status.PENDING, Status.RETRYING) else "")
        state = Status(row.status).label.lower()
        why = f"{state}: {cause}" if cause and row.status != Status.SUCCEEDED else f"{state}, {timed.LATE}"
        return Spender(
            label=f"{row._meta.verbose_name} {row.pk}", due_at=row.due, why=why, url=timed.changed(row), item_id=row.pk
        )

    def link(self, spenders: Sequence[Spender]) -> str:
        """The desk's list, by ids."""
        ids = [("id", each.item_id) for each in spenders if each.item_id is not None][: timed.LINKED]
        return timed.listed(self.model, ids) if ids else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Items):
    """What became of accepted mails as their providers report: delivered is good, bounced is bad.

    Reports come hours later; each marks its mail's minute. A mail without any is excluded: not every provider reports.
    """

    def verdict(self, start: datetime, end: datetime, *, now: datetime) -> Case:
        """By the provider's word alone."""
        return said(
            When(bounced_at__isnull=False, then=Value("bad")),
            When(delivered_at__isnull=False, then=Value("good")),
            When(status=Status.SUCCEEDED, then=Value("excluded")),
        )

    def timed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """From acceptance to delivery."""
        with_took: QuerySet[Any] = rows.annotate(took=durations.Milliseconds(F("succeeded_at"), F("delivered_at")))
        return with_took

    def late(self, since: datetime, until: datetime) -> Iterable[datetime]:
        """Minutes of mails that were reported on."""
        told = TrackingEvent.objects.filter(
            received_at__gte=since - RUN_MAX, received_at__lt=until, message__isnull=False
        ).values("message_id")
        return minutes(EmailMessage._default_manager.annotate(due=self.due).filter(self.where, pk__in=told))

    def spender(self, row: Any) -> Spender:
        """The mail and that it bounced."""
        return Spender(label=f"e-mail {row.pk}", due_at=row.due, why="bounced", url=timed.changed(row), item_id=row.pk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due(Items):
    """Simply how many came due: throughput, not a promise."""

    within: timedelta = timedelta(minutes=1)

    def timed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """It does not matter."""
        with_took: QuerySet[Any] = rows.annotate(took=Value(None, FloatField()))
        return with_took

    def verdict(self, start: datetime, end: datetime, *, now: datetime) -> Case:
        """Each is one."""
        return said(When(due__lt=end, then=Value("good")))

    def late(self, since: datetime, until: datetime) -> Iterable[datetime]:
        """Nothing changes it."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs(Timed):
    """The runs of a queue's handlers, by when they began: throughput, not a promise. Snoozes are excluded."""

    queue: str
    model: Any = Attempt
    within: timedelta = timedelta(minutes=2)
    due: Any = field(default_factory=lambda: F("started_at"))
    retries: bool = False
    """Only how what had failed before ended: done is good, a dead letter is bad."""

    def timed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """As it was noted."""
        with_took: QuerySet[Any] = rows.filter(queue=self.queue).annotate(took=F("duration_ms") * 1.0)
        return with_took

    def verdict(self, start: datetime, end: datetime, *, now: datetime) -> Case:
        """By how the run ended."""
        if not self.retries:
            return said(
                When(outcome__in=("ack", "cancel"), then=Value("good")),
                When(outcome="snooze", then=Value("excluded")),
                When(outcome__in=("retry", "dead_letter", "lost"), then=Value("bad")),
            )
        before = Attempt.objects.filter(
            queue=self.queue,
            item_id=OuterRef("item_id"),
            pk__lt=OuterRef("pk"),
            outcome__in=("retry", "lost"),
        )
        return said(
            When(Q(outcome__in=("ack", "cancel"), number__gt=1) & Exists(before), then=Value("good")),
            When(outcome="dead_letter", then=Value("bad")),
        )

    def spender(self, row: Any) -> Spender:
        """The run that failed."""
        return Spender(
            label=f"{row.queue} {row.item_id}, run {row.number}", due_at=row.due, why=row.code or row.outcome
        )

    def link(self, spenders: Sequence[Spender]) -> str:
        """Runs have no list of their own."""
        return ""
