"""Which hour and which local day a moment of a campaign belongs to, and what an event adds there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from analytics.models import MEASURES, Kind

DIMENSIONS = ("creative", "country", "device", "channel")
HOUR = 3600
QUARTER = 900
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

type Sums = list[int]
"""One number for each of `MEASURES`."""


class Place(NamedTuple):
    """A row of a rollup: an hour if `hour` is given, else a value of a dimension on a day."""

    campaign_id: int
    hour: datetime | None
    day: date
    dimension: str = ""
    value: str = ""


def size(zone: ZoneInfo) -> int:
    """Seconds of a bucket: a quarter of an hour where local midnight does not fall on a full hour of UTC."""
    around = (datetime(2000, 1, 15, tzinfo=UTC), datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC))
    offsets = [moment.astimezone(zone).utcoffset() or timedelta() for moment in around]
    return HOUR if all(offset.total_seconds() % HOUR == 0 for offset in offsets) else QUARTER


def start(moment: datetime, *, seconds: int) -> datetime:
    """The beginning of its bucket."""
    whole = int((moment - EPOCH).total_seconds())
    return EPOCH + timedelta(seconds=whole - whole % seconds)


def places(event: Mapping[str, Any], *, zone: ZoneInfo, seconds: int) -> Iterator[Place]:
    """Every row of the rollups that the event is part of."""
    at = event["occurred_at"]
    day = at.astimezone(zone).date()
    yield Place(event["campaign_id"], start(at, seconds=seconds), day)
    for dimension in DIMENSIONS:
        value = event["creative_id"] if dimension == "creative" else event[dimension]
        yield Place(event["campaign_id"], None, day, dimension, str(value or ""))


def adds(event: Mapping[str, Any]) -> Sums:
    """What the event adds in each of them."""
    if event["drop_reason"]:
        return [0] * (len(MEASURES) - 1) + [1]
    kind, viewable, by = event["kind"], event["viewable"], event["attribution"]
    revenue = event["revenue"]
    return [
        int(kind == Kind.IMPRESSION),
        int(kind == Kind.CLICK),
        int(kind == Kind.CONVERSION),
        event["cost"],
        revenue,
        int(viewable is not None),
        int(viewable is True),
        int(by == "click"),
        int(by == "view"),
        revenue if by == "click" else 0,
        revenue if by == "view" else 0,
        0,
    ]


def total(rows: Iterable[tuple[Place, Sums]]) -> dict[Place, Sums]:
    """The rows added up by place."""
    found: dict[Place, Sums] = {}
    for place, sums in rows:
        known = found.get(place)
        found[place] = sums if known is None else [a + b for a, b in zip(known, sums, strict=True)]
    return found
