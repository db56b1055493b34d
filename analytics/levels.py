"""What the analytics pages promise, counted for the monitor from the minutes of `stats`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db.models import Q, QuerySet, Sum

from analytics.models import QueryStat
from analytics.stats import BOUNDS, COLUMNS, SEEN, SETTLES
from queues.monitor import histogram, timed
from queues.monitor.objective import Spender, Tally

FAST_MS = 3000
FRESH = ("seen_fresh", "seen_empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """`succeeded`: queries that answered within their budget; `fast`: in less than 3 s; `fresh`: views that were."""

    of: Literal["succeeded", "fast", "fresh"]
    settles: timedelta = SETTLES
    early: bool = True

    def count(self, start: datetime, end: datetime, *, now: datetime) -> Mapping[datetime, Tally]:
        """See `Source`."""
        sums = {name: Sum(name) for name in COLUMNS}
        found: dict[datetime, Tally] = {}
        grouped = self._rows(start, end).values("minute", "outcome").order_by().annotate(number=Sum("count"), **sums)
        rows: Iterable[Any] = grouped.iterator()
        for row in rows:
            tally = found.setdefault(row["minute"], Tally())
            classes = [row[name] for name in COLUMNS]
            if self.of == "fast":
                tally.good += sum(classes[: BOUNDS.index(FAST_MS) + 1])
                tally.bad += sum(classes[BOUNDS.index(FAST_MS) + 1 :])
                for number, bound in zip(classes, (*BOUNDS, 2 * BOUNDS[-1]), strict=True):
                    if number:
                        tally.histogram[str(histogram.bucket(bound))] += number
            elif self._good(row["outcome"]):
                tally.good += row["number"]
            else:
                tally.bad += row["number"]
        return found

    def late(self, since: datetime, until: datetime) -> Iterable[datetime]:
        """Who writes late marks the minutes."""
        return ()

    def spenders(self, start: datetime, end: datetime, *, now: datetime, limit: int) -> Sequence[Spender]:
        """Minutes, panels and outcomes: single queries are not kept."""
        rows = self._rows(start, end).order_by("-minute", "panel", "outcome")
        slow = [name for name in COLUMNS if name not in [f"le_{bound}" for bound in BOUNDS if bound <= FAST_MS]]
        if self.of == "fast":
            rows = rows.filter(Q(**{f"{slow[0]}__gt": 0}) | Q(**{f"{slow[1]}__gt": 0}))
        else:
            rows = rows.exclude(outcome__in=[*FRESH, "ok"])
        return [self._spender(row, slow) for row in rows[:limit]]

    def link(self, spenders: Sequence[Spender]) -> str:
        """The desk's list of exactly these minutes."""
        ids = [each.item_id for each in spenders if each.item_id is not None][: timed.LINKED]
        return timed.listed(QueryStat, [("id__in", ",".join(map(str, ids)))]) if ids else ""

    def _rows(self, start: datetime, end: datetime) -> QuerySet[QueryStat]:
        rows = QueryStat.objects.filter(minute__gte=start, minute__lt=end)
        views = Q(outcome__startswith=SEEN)
        return rows.filter(views) if self.of == "fresh" else rows.exclude(views)

    def _good(self, outcome: str) -> bool:
        return outcome in FRESH if self.of == "fresh" else outcome == "ok"

    def _spender(self, row: QueryStat, slow: Sequence[str]) -> Spender:
        number = sum(getattr(row, name) for name in slow) if self.of == "fast" else row.count
        why = "took 3 s or longer" if self.of == "fast" else row.outcome.removeprefix(SEEN).replace("_", " ")
        return Spender(label=f"{number:,} × {row.panel}", due_at=row.minute, why=why, item_id=row.pk)
