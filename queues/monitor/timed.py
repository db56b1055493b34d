"""A source of any table whose rows are due at one time and done at another: good is what was done soon enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, CharField, Count, F, Model, Q, QuerySet, Value, When
from django.db.models.functions import TruncMinute
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from queues.monitor import durations
from queues.monitor.objective import Spender, Tally

GRACE = timedelta(minutes=1)
"""How long a transaction may take to make its rows seen before they count as late."""
LINKED = 100
"""Ids an address has room for."""
LATE = "not done in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Rows of `model`. `due` and `done` are columns or expressions; `where` says which rows are eligible at all."""

    model: type[Model]
    within: timedelta
    due: Any = field(default_factory=lambda: F("created_at"))
    done: str = ""
    where: Q = field(default_factory=Q)
    early: bool = True

    @property
    def settles(self) -> timedelta:
        """Then what is not done is late, and what was written meanwhile can be seen."""
        return self.within + GRACE

    @property
    def limit(self) -> int:
        """The target in milliseconds."""
        return self.within // timedelta(milliseconds=1)

    def count(self, start: datetime, end: datetime, *, now: datetime) -> Mapping[datetime, Tally]:
        """See `Source`."""
        grouped = (
            self.judged(start, end, now=now)
            .annotate(minute=TruncMinute("due"), bucket=durations.bucket("took"))
            .values_list("minute", "verdict", "bucket")
            .order_by()
            .annotate(number=Count("pk"))
        )
        return tallied(grouped.iterator())

    def late(self, since: datetime, until: datetime) -> Iterable[datetime]:
        """See `Source`; nothing tells what was done late."""
        return ()

    def spenders(self, start: datetime, end: datetime, *, now: datetime, limit: int) -> Sequence[Spender]:
        """See `Source`."""
        rows = self.judged(start, end, now=now).filter(verdict="bad").order_by("-due", "-pk")
        return [self.spender(row) for row in rows[:limit]]

    def spender(self, row: Any) -> Spender:
        """One row in words."""
        return Spender(label=str(row), due_at=row.due, why=LATE, url=changed(row), item_id=row.pk)

    def link(self, spenders: Sequence[Spender]) -> str:
        """See `Source`."""
        ids = [each.item_id for each in spenders if each.item_id is not None][:LINKED]
        return listed(self.model, [("id__in", ",".join(map(str, ids)))]) if ids else ""

    def judged(self, start: datetime, end: datetime, *, now: datetime) -> QuerySet[Any]:
        """The rows due in that time, each with `due`, `took` (milliseconds) and `verdict`."""
        rows: QuerySet[Any] = self.model._default_manager.alias().annotate(due=self.due)
        rows = self.timed(rows.filter(self.where, due__gte=start, due__lt=end))
        judged: QuerySet[Any] = rows.annotate(verdict=self.verdict(start, end, now=now))
        return judged

    def timed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """With `took`."""
        with_took: QuerySet[Any] = rows.annotate(took=durations.Milliseconds(F("due"), F(self.done)))
        return with_took

    def verdict(self, start: datetime, end: datetime, *, now: datetime) -> Case:
        """The first that fits; "" is not decided yet."""
        return said(
            When(took__lte=self.limit, then=Value("good")),
            When(Q(took__isnull=False) | Q(due__lt=now - self.within), then=Value("bad")),
        )


def said(*whens: When) -> Case:
    """A verdict."""
    return Case(*whens, default=Value(""), output_field=CharField())


def tallied(rows: Iterable[tuple[datetime, str, int | None, int]]) -> dict[datetime, Tally]:
    """(minute, verdict, bucket, how many) as tallies."""
    found: dict[datetime, Tally] = {}
    for minute, verdict, bucket, number in rows:
        if not verdict:
            continue
        tally = found.setdefault(minute, Tally())
        setattr(tally, verdict, getattr(tally, verdict) + number)
        if bucket is not None and verdict in ("good", "bad"):
            tally.histogram[str(bucket)] += number
    return found


def listed(model: type[Model], query: Sequence[tuple[str, Any]]) -> str:
    """The address of these rows in the desk; "" if the model has no page there."""
    try:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    except NoReverseMatch:
        return ""
    return f"{address}?{urlencode(query)}"


def changed(row: Model) -> str:
    """The address of one row in the desk, or ""."""
    try:
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    except NoReverseMatch:
        return ""
