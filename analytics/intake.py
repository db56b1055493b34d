"""Events come in: judged one by one, stored once, and their deltas with them in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db import connections, router, transaction

from analytics import access, attribution, buckets, judge, outbox
from analytics.models import Campaign, Creative, Event
from queues.engine import records

COLUMNS = (
    "event_id",
    "campaign_id",
    "creative_id",
    "kind",
    "occurred_at",
    "received_at",
    "cost",
    "revenue",
    "country",
    "device",
    "channel",
    "visitor",
    "viewable",
    "attribution",
    "drop_reason",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one event of a batch: `accepted`, `duplicate` or `rejected` with its reason.

    `drop_reason` of an accepted one says why it is kept but not counted.
    """

    status: str
    event_id: str | None = None
    reason: str = ""
    words: str = ""
    drop_reason: str = ""


def record(*, events: Sequence[Any], user: User, now: datetime) -> list[Answer]:
    """Store what is acceptable and not yet there; one answer for each, in order. The same again changes nothing."""
    campaigns = _campaigns(events, user)
    known = _known(campaigns)
    answers: list[Answer | None] = [None] * len(events)
    rows: dict[tuple[int, UUID], tuple[int, dict[str, Any]]] = {}
    for number, given in enumerate(events):
        try:
            row = judge.read(given, known=known, now=now)
        except judge.Refused as refused:
            answers[number] = Answer("rejected", _told_id(given), refused.reason, str(refused))
            continue
        key = (row["campaign_id"], row["event_id"])
        if key in rows:
            answers[number] = Answer("duplicate", str(row["event_id"]))
        else:
            rows[key] = (number, row)
    new = _store([row for _, row in rows.values()], campaigns)
    for key, (number, row) in rows.items():
        status = "accepted" if key in new else "duplicate"
        answers[number] = Answer(status, str(row["event_id"]), drop_reason=row["drop_reason"])
    return [answer for answer in answers if answer is not None]


def _campaigns(events: Sequence[Any], user: User) -> dict[int, Campaign]:
    wanted = {given.get("campaign") for given in events if isinstance(given, dict) and _is_id(given.get("campaign"))}
    return {each.pk: each for each in access.recordable(user).filter(pk__in=[int(each) for each in wanted if each])}


def _is_id(given: Any) -> bool:
    return type(given) is int and 0 < given < 2**63


def _known(campaigns: Iterable[int]) -> dict[int, judge.Known]:
    keys: dict[int, dict[str, int]] = {campaign_id: {} for campaign_id in campaigns}
    for campaign_id, key, pk in Creative.objects.filter(campaign__in=keys).values_list("campaign_id", "key", "pk"):
        keys[campaign_id][key] = pk
    return {campaign_id: judge.Known(creatives) for campaign_id, creatives in keys.items()}


def _store(rows: list[dict[str, Any]], campaigns: Mapping[int, Campaign]) -> set[tuple[int, UUID]]:
    """Insert the events that are not there yet, with their deltas; returns the keys of those."""
    if not rows:
        return set()
    rows.sort(key=lambda row: (row["campaign_id"], row["event_id"]))  # two batches at once: no deadlock
    using = router.db_for_write(Event)
    with transaction.atomic(using=using):
        attribution.decide(rows, using=using)
        new = _insert(rows, using)
        zones = {pk: (campaign.zone, buckets.size(campaign.zone)) for pk, campaign in campaigns.items()}
        inserted = [row for row in rows if (row["campaign_id"], row["event_id"]) in new]
        outbox.append(deltas(inserted, zones), using=using)
    return new


def deltas(
    rows: Iterable[Mapping[str, Any]], zones: Mapping[int, tuple[ZoneInfo, int]]
) -> dict[buckets.Place, buckets.Sums]:
    """What events add to the rollups, added up."""

    def each() -> Iterable[tuple[buckets.Place, buckets.Sums]]:
        for row in rows:
            zone, seconds = zones[row["campaign_id"]]
            sums = buckets.adds(row)
            for place in buckets.places(row, zone=zone, seconds=seconds):
                yield place, sums

    return buckets.total(each())


def _insert(rows: Sequence[Mapping[str, Any]], using: str) -> set[tuple[int, UUID]]:
    """By hand: `bulk_create(ignore_conflicts=True)` does not tell which rows were new, and only those may count."""
    source = records.of(using, Event, COLUMNS)
    names = ", ".join(COLUMNS)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Event._meta.db_table} ({names}) SELECT {names} FROM {source.source} WHERE true "  # noqa: S608
            "ON CONFLICT (campaign_id, event_id) DO NOTHING RETURNING campaign_id, event_id",
            [source.dump(rows)],
        )
        return {(campaign, event if isinstance(event, UUID) else UUID(event)) for campaign, event in cursor.fetchall()}


def _told_id(given: Any) -> str | None:
    text = given.get("event_id") if isinstance(given, dict) else None
    return text[:36] if isinstance(text, str) else None
