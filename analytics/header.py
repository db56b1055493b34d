"""What a page must know of its campaign besides figures; also kept on disk, for when the database is away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from analytics.models import Campaign


@dataclass(frozen=True, slots=True)
class Header:
    """A campaign as the pages see it."""

    id: int
    name: str
    currency: str
    time_zone: str
    budget: int | None
    starts_on: date
    ends_on: date | None
    raw_from: date | None = None

    @property
    def zone(self) -> ZoneInfo:
        """Its time zone."""
        return ZoneInfo(self.time_zone)


def of(campaign: Campaign) -> Header:
    """The header of a row."""
    return Header(
        campaign.pk,
        campaign.name,
        campaign.currency,
        campaign.time_zone,
        campaign.budget,
        campaign.starts_on,
        campaign.ends_on,
        campaign.raw_from,
    )


def dump(header: Header) -> dict[str, Any]:
    """As JSON."""
    return {
        "id": header.id,
        "name": header.name,
        "currency": header.currency,
        "time_zone": header.time_zone,
        "budget": header.budget,
        "starts_on": header.starts_on.isoformat(),
        "ends_on": header.ends_on.isoformat() if header.ends_on else None,
        "raw_from": header.raw_from.isoformat() if header.raw_from else None,
    }


def load(told: Mapping[str, Any]) -> Header:
    """From JSON. Raises KeyError, TypeError or ValueError for anything else."""
    ends_on, raw_from = told["ends_on"], told.get("raw_from")
    return Header(
        int(told["id"]),
        str(told["name"]),
        str(told["currency"]),
        str(told["time_zone"]),
        told["budget"],
        date.fromisoformat(told["starts_on"]),
        date.fromisoformat(ends_on) if ends_on else None,
        date.fromisoformat(raw_from) if raw_from else None,
    )
