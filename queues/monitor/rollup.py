"""The rollup: counts every objective's whole minutes from its rows, again and again until they are final.

        final                    known so far, counted again at every run          not begun
    ──────────────────┤ Watermark.until ├──────────────────────────────┤ the last whole minute ├──▶
       ▲ stale minutes and, once, each hour an hour later are counted again

Counting is done outside any transaction; what was counted is stored only if the watermark is still as it was read
(compare and set). So a run may die anywhere, come twice or hours late, and the rows are those of one run. A minute is
replaced as a whole, never added to.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, router, transaction
from django.db.models import F

from queues.engine import log, pruning
from queues.monitor import histogram, objective
from queues.monitor.models import SloHour, SloMinute, StaleMinute, Watermark
from queues.monitor.objective import HOUR, MINUTE, Objective, Tally

logger = log.get(__name__)

FIRST_LOOK = timedelta(days=1)
"""How far back an objective that was never counted begins."""
CHUNK = timedelta(hours=6)
"""Most that is counted in one go while catching up."""
MARKS = 500
"""Stale minutes of one go; the rest waits for the next."""
BUDGET_SECONDS = 40.0
"""Of one run, below the task's time-out."""
MINUTES_KEPT = timedelta(days=35)
HOURS_KEPT = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes from `start` up to `end`."""

    start: datetime
    end: datetime


def run(*, now: datetime, only: Iterable[str] = (), budget: float = BUDGET_SECONDS) -> dict[str, int]:
    """Bring all objectives (or some) up to `now`; returns how many minutes of each were counted."""
    wanted, give_up = set(only), time.monotonic() + budget
    done: Counter[str] = Counter()
    for each in objective.everything():
        if wanted and each.key not in wanted:
            continue
        try:
            while minutes := advance(each, now=now):
                done[each.key] += minutes
                if reached(each, now=now) or time.monotonic() > give_up:
                    break
        except DatabaseError as error:  # one objective's trouble is not the others'
            words = str(error).split("\n")[0]
            logger.error("rollup.failed", objective=each.key, words=words)
            Watermark.objects.filter(objective=each.key).update(words=words)
    return dict(done)


def reached(each: Objective, *, now: datetime) -> bool:
    """Whether all that can be counted by now has been."""
    mark = Watermark.objects.filter(objective=each.key).first()
    if mark is None or mark.counted_until is None or mark.counted_until < _end(each, now):
        return False
    return _recount(mark, now=now) is None and not StaleMinute.objects.filter(objective=each.key).exists()


def advance(each: Objective, *, now: datetime) -> int:
    """One go at one objective; returns how many minutes it counted, 0 if another run was faster."""
    mark = _watermark(each, now=now)
    late = _late(each, mark, now=now)
    marks = list(StaleMinute.objects.filter(objective=each.key).order_by("id")[:MARKS].values_list("id", "minute"))
    end = min(_end(each, now), mark.until + CHUNK)
    again = {minute for _, minute in marks} | late
    spans = [Span(mark.until, end)] if end > mark.until else []
    spans += list(_runs(minute for minute in again if now - MINUTES_KEPT < minute < mark.until))
    if recount := _recount(mark, now=now):
        spans.append(recount)
    counted = {span: each.source.count(span.start, span.end, now=now) for span in spans}
    settled = objective.minute_of(now - each.source.settles)
    with transaction.atomic(using=router.db_for_write(Watermark)):
        held = Watermark.objects.filter(pk=mark.pk, version=mark.version)
        if not held.update(
            version=F("version") + 1,
            until=max(mark.until, min(end, settled)),
            counted_until=max(end, mark.counted_until or end),
            late_until=now,
            recounted_until=recount.end if recount else mark.recounted_until,
            ran_at=now,
            words="",
        ):
            return 0
        StaleMinute.objects.filter(pk__in=[pk for pk, _ in marks]).delete()
        for span, tallies in counted.items():
            _store(each, span, tallies)
        for hour in sorted({hour for span in spans for hour in _hours(span)}):
            _sum(each, hour)
    return sum((span.end - span.start) // MINUTE for span in spans)


def _watermark(each: Objective, *, now: datetime) -> Watermark:
    begin = objective.hour_of(now - FIRST_LOOK)
    fresh = {"until": begin, "late_until": now, "recounted_until": objective.hour_of(now)}
    return Watermark.objects.get_or_create(objective=each.key, defaults=fresh)[0]


def _end(each: Objective, now: datetime) -> datetime:
    """Up to where minutes can be counted: those that are over, or, where early numbers would mislead, settled."""
    return objective.minute_of(now if each.source.early else now - each.source.settles)


def _late(each: Objective, mark: Watermark, *, now: datetime) -> set[datetime]:
    """Minutes that what came since the last run changed; so many that one go does not hold them become marks."""
    found = sorted(minute for minute in set(each.source.late(mark.late_until or now, now)) if minute < mark.until)
    if len(found) > MARKS:
        StaleMinute.objects.bulk_create(StaleMinute(objective=each.key, minute=minute) for minute in found[MARKS:])
    return set(found[:MARKS])


def _recount(mark: Watermark, *, now: datetime) -> Span | None:
    """The next hour to be counted a second time, an hour after its end: what was seen too late is in it now."""
    begin = mark.recounted_until or objective.hour_of(now)
    if begin + 2 * HOUR > now or begin + HOUR > mark.until:
        return None
    return Span(begin, begin + HOUR)


def _runs(minutes: Iterable[datetime]) -> Iterator[Span]:
    """Minutes as few spans: neighbours together, an hour at most."""
    start = end = None
    for minute in sorted(minutes):
        if start is None or end is None or minute > end or end - start >= HOUR:
            if start is not None and end is not None:
                yield Span(start, end)
            start = minute
        end = minute + MINUTE
    if start is not None and end is not None:
        yield Span(start, end)


def _store(each: Objective, span: Span, tallies: Mapping[datetime, Tally]) -> None:
    """Replace the span's minutes. One in which nothing was due has no row."""
    rows = [
        SloMinute(
            objective=each.key,
            minute=minute,
            good=tally.good,
            bad=tally.bad,
            excluded=tally.excluded,
            paused=tally.paused,
            histogram=dict(tally.histogram),
        )
        for minute, tally in tallies.items()
        if tally
    ]
    SloMinute.objects.filter(objective=each.key, minute__gte=span.start, minute__lt=span.end).exclude(
        minute__in=[row.minute for row in rows]
    ).delete()
    SloMinute.objects.bulk_create(
        rows,
        batch_size=100,
        update_conflicts=True,
        unique_fields=["objective", "minute"],
        update_fields=["good", "bad", "excluded", "paused", "histogram"],
    )


def _hours(span: Span) -> Iterator[datetime]:
    hour = objective.hour_of(span.start)
    while hour < span.end:
        yield hour
        hour += HOUR


def _sum(each: Objective, hour: datetime) -> None:
    """The hour's row, from its minutes; none if it has none."""
    minutes = list(SloMinute.objects.filter(objective=each.key, minute__gte=hour, minute__lt=hour + HOUR))
    row = SloHour.objects.filter(objective=each.key, hour=hour)
    if not minutes:
        row.delete()
        return
    sums = {
        "good": sum(minute.good for minute in minutes),
        "bad": sum(minute.bad for minute in minutes),
        "excluded": sum(minute.excluded for minute in minutes),
        "paused": sum(minute.paused for minute in minutes),
        "histogram": histogram.merged(minute.histogram for minute in minutes),
    }
    if not row.update(**sums):
        SloHour.objects.create(objective=each.key, hour=hour, **sums)


def clean(*, now: datetime) -> int:
    """Delete minutes and hours past their time, a few at once, so that nobody waits."""
    minutes = pruning.prune(SloMinute.objects.filter(minute__lt=now - MINUTES_KEPT))
    return minutes + pruning.prune(SloHour.objects.filter(hour__lt=now - HOURS_KEPT))
