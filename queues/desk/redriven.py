"""Redrive success for the monitor: of the dead letters staff sent on their way again, those that were done in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from django.db.models import QuerySet

from queues.desk.ledger import LedgerItem
from queues.engine import registry
from queues.engine.attempts import Attempt
from queues.monitor import histogram, objective, timed
from queues.monitor.objective import Spender, Tally

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """One redriven item and what came of it: `good`, `bad`, `excluded`, or "" while nobody knows."""

    queue: str
    item_id: int
    at: datetime
    verdict: str
    took: timedelta | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """By when the act touched the item. Dead again, or not done within the target, is bad."""

    within: timedelta = timedelta(hours=1)
    early: bool = True

    @property
    def settles(self) -> timedelta:
        """The target and a minute for the settlement to be seen."""
        return self.within + timed.GRACE

    def count(self, start: datetime, end: datetime, *, now: datetime) -> Mapping[datetime, Tally]:
        """See `Source`."""
        found: dict[datetime, Tally] = {}
        for each in self._outcomes(start, end, now=now):
            if not each.verdict:
                continue
            tally = found.setdefault(objective.minute_of(each.at), Tally())
            setattr(tally, each.verdict, getattr(tally, each.verdict) + 1)
            if each.took is not None:
                tally.histogram[str(histogram.bucket(each.took / timedelta(milliseconds=1)))] += 1
        return found

    def late(self, since: datetime, until: datetime) -> Iterable[datetime]:
        """An act's rows are written in its transaction."""
        return ()

    def spenders(self, start: datetime, end: datetime, *, now: datetime, limit: int) -> Sequence[Spender]:
        """See `Source`."""
        bad = [each for each in self._outcomes(start, end, now=now) if each.verdict == "bad"]
        bad.sort(key=lambda each: (each.at, each.item_id), reverse=True)
        return [
            Spender(
                label=f"{each.queue} {each.item_id}",
                due_at=each.at,
                why=each.why,
                url=_url(each),
                item_id=each.item_id,
            )
            for each in bad[:limit]
        ]

    def link(self, spenders: Sequence[Spender]) -> str:
        """The desk's list, where all are of one queue."""
        queues = {each.label.split()[0] for each in spenders}
        if len(queues) != 1:
            return ""
        try:
            model = registry.get(queues.pop()).model
        except LookupError:
            return ""
        return timed.listed(model, [("id", each.item_id) for each in spenders[: timed.LINKED]])

    def _outcomes(self, start: datetime, end: datetime, *, now: datetime) -> Iterator[Outcome]:
        touched = LedgerItem.objects.filter(at__gte=start, at__lt=end, entry__act="redrive").order_by("id")
        for part in batched(_touched(touched), AT_ONCE, strict=False):
            runs: dict[tuple[str, int], list[Any]] = defaultdict(list)
            ended = Attempt.objects.filter(
                queue__in={queue for queue, _, _ in part},
                item_id__in={item for _, item, _ in part},
                started_at__gte=start,
                outcome__in=("ack", "cancel", "dead_letter"),
            ).order_by("id")
            for row in ended.values_list("queue", "item_id", "started_at", "duration_ms", "outcome", "code"):
                runs[row[0], row[1]].append(row[2:])
            for queue, item, at in part:
                yield self._outcome(queue, item, at, runs[queue, item], now)

    def _outcome(self, queue: str, item: int, at: datetime, runs: Sequence[Any], now: datetime) -> Outcome:
        for started_at, milliseconds, outcome, code in runs:
            took = started_at + timedelta(milliseconds=milliseconds) - at
            if started_at < at or took > self.within:
                continue
            if outcome == "dead_letter":
                return Outcome(queue, item, at, "bad", why=f"dead again: {code}")
            return Outcome(queue, item, at, "good" if outcome == "ack" else "excluded", took=took)
        if now - at > self.within:
            return Outcome(queue, item, at, "bad", why="not done in time")
        return Outcome(queue, item, at, "")


def _touched(rows: QuerySet[LedgerItem]) -> Iterator[tuple[str, int, datetime]]:
    for queue, item, at in rows.values_list("queue", "item_id", "at").iterator():
        if at is not None:
            yield queue, item, at


def _url(each: Outcome) -> str:
    try:
        model: Any = registry.get(each.queue).model
    except LookupError:
        return ""
    return timed.changed(model(pk=each.item_id))
