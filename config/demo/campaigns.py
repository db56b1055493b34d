"""Three months of believable campaigns for the demo's customer: weekdays, seasons, clock changes and some bots."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User

from analytics import attribution, buckets, rollups
from analytics.intake import deltas
from analytics.models import Campaign, Creative, Event, Kind

DAYS = 90
UNIT = 1_000_000
PLANS = (
    # name, currency, time zone, impressions a day, click rate, cost of a click, price of a ticket
    ("Night of the Strings", "eur", "Europe/Berlin", 190, 0.042, 1.9, 25.0),
    ("Jazz on the River", "eur", "Europe/Berlin", 110, 0.031, 1.4, 18.5),
    ("Small Hours in Kyoto", "jpy", "Asia/Tokyo", 80, 0.036, 160.0, 4800.0),
)
CREATIVES = ("Poster, gold", "Poster, night", "Trailer 15 s", "Trailer 30 s", "Interview")
COUNTRIES = ("DE", "DE", "DE", "DE", "AT", "AT", "CH", "CH", "FR", "JP", "")
DEVICES = ("mobile", "mobile", "mobile", "desktop", "desktop", "tablet", "tv")
CHANNELS = ("search", "search", "social", "social", "social", "display", "video", "email")
BATCH = 4000


def load(*, now: datetime) -> int:
    """Make the customer's campaigns with their events; returns how many campaigns are new."""
    customer = User.objects.filter(username="customer").first()
    operator = User.objects.filter(username="operator").first()
    if customer is None:
        return 0
    made = 0
    for number, plan in enumerate(PLANS):
        if not Campaign.objects.filter(owner=customer, name=plan[0]).exists():
            _campaign(customer, operator, number, plan, now)
            made += 1
    return made


def _campaign(owner: User, member: User | None, number: int, plan: tuple[Any, ...], now: datetime) -> None:
    name, currency, time_zone, a_day, click_rate, cost, price = plan
    chance = random.Random(number)  # noqa: S311 - the same campaigns at every first start
    first = (now - timedelta(days=DAYS - 1)).date()
    budget = round(a_day * 120 * click_rate * cost * 0.9) * UNIT
    campaign = Campaign.objects.create(
        name=name,
        owner=owner,
        currency=currency,
        time_zone=time_zone,
        budget=budget,
        starts_on=first,
        ends_on=first + timedelta(days=DAYS + 30),
    )
    if member is not None:
        campaign.members.add(member)
    creatives = [
        Creative.objects.create(campaign=campaign, key=f"c{place}", name=label)
        for place, label in enumerate(CREATIVES, start=1)
    ]
    known = {"a_day": a_day, "click_rate": click_rate, "cost": cost, "price": price}
    rows: list[dict[str, Any]] = []
    for row in _events(campaign, creatives, known, chance, now):
        rows.append(row)
        if len(rows) >= BATCH:
            _store(campaign, rows)
            rows = []
    _store(campaign, rows)


def _store(campaign: Campaign, rows: list[dict[str, Any]]) -> None:
    """Events of the past: recorded as they happened, their sums added at once instead of through the outbox."""
    using = "default"
    attribution.decide(rows, using=using)
    Event.objects.bulk_create([Event(**row) for row in rows], batch_size=1000)
    zones = {campaign.pk: (campaign.zone, buckets.size(campaign.zone))}
    rollups.add(deltas(rows, zones), using=using)


def _events(
    campaign: Campaign, creatives: list[Creative], known: dict[str, Any], chance: random.Random, now: datetime
) -> Iterator[dict[str, Any]]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(DAYS - 1, -1, -1):
        midnight = today - timedelta(days=back)
        weekend = 1.35 if midnight.weekday() >= 5 else 1.0
        growth = 0.7 + 0.6 * (DAYS - back) / DAYS
        for _ in range(round(known["a_day"] * weekend * growth * chance.uniform(0.8, 1.2))):
            hour = min(max(chance.gauss(16, 5), 0), 23.99)
            at = midnight + timedelta(hours=hour, seconds=chance.random() * 60)
            if at < now:
                yield from _visit(campaign, chance.choice(creatives), at, known, chance, now)


def _visit(
    campaign: Campaign, creative: Creative, at: datetime, known: dict[str, Any], chance: random.Random, now: datetime
) -> Iterator[dict[str, Any]]:
    """A visitor sees an advertisement, perhaps clicks, perhaps buys."""
    common = {
        "campaign_id": campaign.pk,
        "creative_id": creative.pk,
        "country": chance.choice(COUNTRIES),
        "device": chance.choice(DEVICES),
        "channel": chance.choice(CHANNELS),
        "visitor": f"v{chance.getrandbits(48):x}",
    }
    bot = "bot" if chance.random() < 0.015 else ""
    seen = chance.random() < 0.68 if chance.random() < 0.9 else None
    yield _row(common, Kind.IMPRESSION, at, viewable=seen, drop_reason=bot)
    charm = 0.6 + 0.2 * (creative.pk % 5)
    if not bot and chance.random() < known["click_rate"] * charm:
        at += timedelta(seconds=chance.uniform(2, 90))
        yield _row(common, Kind.CLICK, at, cost=round(known["cost"] * chance.uniform(0.7, 1.3) * UNIT))
        if chance.random() < 0.09:
            at += timedelta(minutes=chance.uniform(3, 3000))
            if at < now:
                yield _row(common, Kind.CONVERSION, at, revenue=round(known["price"] * UNIT) * chance.randint(1, 4))
    elif not bot and chance.random() < 0.0012 and at < now - timedelta(hours=40):
        yield _row(
            common, Kind.CONVERSION, at + timedelta(hours=chance.uniform(1, 40)), revenue=round(known["price"] * UNIT)
        )


def _row(common: dict[str, Any], kind: str, at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "event_id": uuid.uuid4(),
        "kind": kind,
        "occurred_at": at,
        "received_at": at + timedelta(seconds=2),
        "cost": 0,
        "viewable": None,
        "attribution": "",
        "drop_reason": "",
        "revenue": 0,
        **common,
        **more,
    }
