"""The nightly recount: rollups worked out anew from raw events; a difference is put right by the outbox, and said.

Repairs are deltas like any other. Days of a campaign are counted, compared with rollups and outbox together, and put
right in one moment of the database, so events that come meanwhile disturb nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connections, models, router, transaction
from django.db.models import Max, Min, Sum

from analytics import attribution, buckets, outbox, periods, retention, rollups, watch
from analytics.buckets import Place, Sums
from analytics.models import MEASURES, Campaign, Event, Kind, RefreshState, RollupDelta, RollupDimDay, RollupHour
from queues.engine import log, records

DAYS = 7
DAYS_TOLD = 14
LOCK = 7_203_612
"""Key of PostgreSQL's advisory lock: of two recounts at once one would repair what the other has."""

SPANS: dict[str, models.Field[Any, Any]] = {
    "day": models.CharField(max_length=10),
    "begins": models.DateTimeField(),
    "ends": models.DateTimeField(),
}

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """Days counted, and rows of the rollups that were wrong."""

    days: int
    repaired: int


def run(*, now: datetime, days: int = DAYS, everything: bool = False) -> Checked:
    """Check the last days of every campaign, and one random older day of each; or `everything`."""
    chance = random.Random(now.date().toordinal())  # noqa: S311
    counted = repaired = 0
    with _alone(LOCK), _alone(rollups.LOCK, when=everything):
        for campaign in Campaign.objects.order_by("pk").iterator(chunk_size=500):
            wrong: list[Place] = []
            seen = 0
            for first, last in _ranges(campaign, chance, now=now, days=days, everything=everything):
                seen += (last - first).days + 1
                wrong += check(campaign, first, last, at_once=everything)
            if seen:
                _noted(watch.scope(campaign.pk), wrong, now=now)
            counted, repaired = counted + seen, repaired + len(wrong)
    if repaired:
        while not rollups.refresh(now=now).complete:
            pass
        logger.error("analytics.rollups_repaired", rows=repaired, days=counted)
    RefreshState.objects.bulk_create([RefreshState(scope=rollups.SCOPE)], ignore_conflicts=True)
    RefreshState.objects.filter(scope=rollups.SCOPE).update(checked_at=now, repaired=repaired)
    return Checked(counted, repaired)


def _noted(scope: str, wrong: Sequence[Place], *, now: datetime) -> None:
    """For the campaign's page."""
    days = sorted({place.day.isoformat() for place in wrong})[:DAYS_TOLD]
    RefreshState.objects.bulk_create([RefreshState(scope=scope)], ignore_conflicts=True)
    RefreshState.objects.filter(scope=scope).update(checked_at=now, repaired=len(wrong), repaired_days=days)


def check(campaign: Campaign, first: date, last: date, *, at_once: bool = False) -> list[Place]:
    """Count local days of a campaign; returns the rows that were wrong. They are right after the next refresh.

    Days whose raw events were removed, wholly or in part, are left as they are.

    `at_once`: right now, for many rows; the caller keeps refreshers away, which add to the same rows.
    """
    using = router.db_for_write(RollupHour)
    with transaction.atomic(using=using):
        if connections[using].vendor == "postgresql" and len(connections[using].savepoint_ids) == 0:
            with connections[using].cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # Asked in here: a removal moves it before it removes anything.
        raw_from = Campaign.objects.values_list("raw_from", flat=True).get(pk=campaign.pk)
        first = max(first, retention.checkable_from(raw_from))
        if first > last:
            return []
        reattribute(campaign, first, last)
        wanted = _raw(campaign, first, last)
        there = _summed(campaign, first, last)
        zero = [0] * len(MEASURES)
        wrong = {
            place: [a - b for a, b in zip(wanted.get(place, zero), there.get(place, zero), strict=True)]
            for place in {*wanted, *there}
            if wanted.get(place, zero) != there.get(place, zero)
        }
        if at_once:
            rollups.add(wrong, using=using)
        else:
            outbox.append(wrong, using=using)
    if wrong:
        days = sorted({str(place.day) for place in wrong})
        logger.warning("analytics.rollups_differed", campaign=campaign.pk, rows=len(wrong), days=days[:20])
    return list(wrong)


def reattribute(campaign: Campaign, first: date, last: date) -> int:
    """Decide anew to whom the days' conversions are owed: clicks may have come later than they."""
    span = periods.Period(first, last, campaign.zone).span
    conversions: Any = Event.objects.filter(
        campaign=campaign, kind=Kind.CONVERSION, occurred_at__gte=span.start, occurred_at__lt=span.end, drop_reason=""
    )
    rows: list[dict[str, Any]] = list(conversions.exclude(visitor="").order_by("pk").values())
    before = {row["id"]: row["attribution"] for row in rows}
    using = router.db_for_write(Event)
    attribution.decide(rows, using=using)
    changed = [row for row in rows if row["attribution"] != before[row["id"]]]
    for row in changed:
        Event.objects.filter(pk=row["id"]).update(attribution=row["attribution"])
    seconds = buckets.size(campaign.zone)
    deltas: list[tuple[Place, Sums]] = []
    for row in changed:
        old = buckets.adds(row | {"attribution": before[row["id"]]})
        change = [a - b for a, b in zip(buckets.adds(row), old, strict=True)]
        deltas += [(place, change) for place in buckets.places(row, zone=campaign.zone, seconds=seconds)]
    outbox.append(buckets.total(deltas), using=using)
    return len(changed)


def _ranges(
    campaign: Campaign, chance: random.Random, *, now: datetime, days: int, everything: bool
) -> Iterator[tuple[date, date]]:
    """The last days that have events, and an older one; or all."""
    ends = Event.objects.filter(campaign=campaign).aggregate(first=Min("occurred_at"), last=Max("occurred_at"))
    if ends["first"] is None:
        return
    first, last = (ends[name].astimezone(campaign.zone).date() for name in ("first", "last"))
    first = max(first, retention.checkable_from(campaign.raw_from))
    today = now.astimezone(campaign.zone).date()
    start = first if everything else max(today - timedelta(days=days - 1), first)
    if last >= start:
        yield start, last
    older = (min(start, last + timedelta(days=1)) - first).days
    if older > 0:
        day = first + timedelta(days=chance.randrange(older))
        yield day, day


def _raw(campaign: Campaign, first: date, last: date) -> dict[Place, Sums]:
    """What the days' events add up to, by hour and by each dimension; added up by the database."""
    using = router.db_for_read(Event)
    vendor, seconds, zone = connections[using].vendor, buckets.size(campaign.zone), campaign.zone
    days = [periods.Period(day, day, zone) for day in periods.Period(first, last, zone).days]
    source = records.build(using, SPANS)
    spans = source.dump(
        [{"day": day.first.isoformat(), "begins": day.span.start, "ends": day.span.end} for day in days]
    )
    found: list[tuple[Place, Sums]] = []
    with connections[using].cursor() as cursor:
        for sql in _counting(vendor, seconds, source.source):
            cursor.execute(sql, [spans, campaign.pk])
            for place, text, value, *sums in cursor.fetchall():
                day, dimension = date.fromisoformat(text), ("", *buckets.DIMENSIONS)[place]
                if dimension:
                    key = Place(campaign.pk, None, day, dimension, value)
                else:
                    key = Place(campaign.pk, datetime.fromtimestamp(int(value) * seconds, tz=UTC), day)
                found.append((key, [int(each or 0) for each in sums]))
    return buckets.total(found)


def _counting(vendor: str, seconds: int, days: str) -> list[str]:
    """The questions, whose rows are: place in `DIMENSIONS` (from 1, 0 is the hours), day, value as text, sums.

    By hand: grouped through the ORM, SQLite would call Python for every event. Day after day by the index; SQLite
    knows no time zones, so it is told when each day begins. PostgreSQL reads each event once for all groupings.
    """
    epoch = "date_part('epoch', occurred_at)" if vendor == "postgresql" else "strftime('%%s', occurred_at)"
    bucket = f"CAST(floor({epoch} / {seconds}) AS bigint)" if vendor == "postgresql" else f"{epoch} / {seconds}"
    yes = "TRUE" if vendor == "postgresql" else "1"
    good = "drop_reason = ''"
    parts = {
        "impressions": f"CASE WHEN {good} AND kind = 'impression' THEN 1 END",
        "clicks": f"CASE WHEN {good} AND kind = 'click' THEN 1 END",
        "conversions": f"CASE WHEN {good} AND kind = 'conversion' THEN 1 END",
        "cost": f"CASE WHEN {good} THEN cost END",
        "revenue": f"CASE WHEN {good} THEN revenue END",
        "measured": f"CASE WHEN {good} AND viewable IS NOT NULL THEN 1 END",
        "viewable": f"CASE WHEN {good} AND viewable = {yes} THEN 1 END",
        "click_conversions": f"CASE WHEN {good} AND attribution = 'click' THEN 1 END",
        "view_conversions": f"CASE WHEN {good} AND attribution = 'view' THEN 1 END",
        "click_revenue": f"CASE WHEN {good} AND attribution = 'click' THEN revenue END",
        "view_revenue": f"CASE WHEN {good} AND attribution = 'view' THEN revenue END",
        "dropped": "CASE WHEN drop_reason <> '' THEN 1 END",
    }
    sums = ", ".join(f"sum({parts[name]})" for name in MEASURES)
    values = [f"({bucket})", "creative_id", *buckets.DIMENSIONS[1:]]
    where = (
        f"FROM {days} CROSS JOIN {Event._meta.db_table} e "
        "WHERE e.campaign_id = %s AND e.occurred_at >= v.begins AND e.occurred_at < v.ends"
    )
    if vendor != "postgresql":
        return [
            f"SELECT {place}, v.day, CAST(coalesce({value}, '') AS text), {sums} {where} GROUP BY 2, 3"
            for place, value in enumerate(values)
        ]
    # The value that a row is grouped by is the one whose bit is not set.
    bits = [f"WHEN grouping({value}) = 0 THEN {{}}" for value in values]
    which = " ".join(bit.format(place) for place, bit in enumerate(bits))
    text = " ".join(bit.format(f"coalesce({value}::text, '')") for value, bit in zip(values, bits, strict=True))
    sets = ", ".join(f"(v.day, {value})" for value in values)
    return [f"SELECT CASE {which} END, v.day, CASE {text} END, {sums} {where} GROUP BY GROUPING SETS ({sets})"]


def _summed(campaign: Campaign, first: date, last: date) -> dict[Place, Sums]:
    """What rollups and outbox together say of the days."""

    def rows(model: type[models.Model], *names: str) -> Iterator[tuple[Place, Sums]]:
        found: Any = model._default_manager.filter(campaign_id=campaign.pk, day__gte=first, day__lte=last)
        sums = {f"sum_{name}": Sum(name) for name in MEASURES}
        for row in found.values("day", *names).order_by().annotate(**sums):
            place = Place(campaign.pk, row.get("hour"), row["day"], row.get("dimension", ""), row.get("value", ""))
            yield place, [int(row[f"sum_{name}"] or 0) for name in MEASURES]

    hours, days = rows(RollupHour, "hour"), rows(RollupDimDay, "dimension", "value")
    return buckets.total([*hours, *days, *rows(RollupDelta, "hour", "dimension", "value")])


@contextmanager
def _alone(key: int, *, when: bool = True) -> Iterator[None]:
    """Nobody else with this lock: one of the session, taken before any transaction's view of the data begins."""
    using = router.db_for_write(RollupHour)
    if connections[using].vendor != "postgresql" or not when:
        yield
        return
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [key])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
