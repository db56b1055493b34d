"""Judges one event as a program sent it: what is taken of it, or why it is refused. No database here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from analytics.models import Kind

AHEAD_MAX = timedelta(minutes=5)
AGE_MAX = timedelta(days=90)
MONEY_MAX = 10**12
"""Micros of one event: a million of the currency's units. Nine million such events fit into one sum."""
DEVICES = ("desktop", "mobile", "tablet", "tv", "other")
CHANNELS = ("search", "social", "display", "video", "email", "affiliate", "other")
COUNTRY = re.compile(r"[A-Z]{2}")
KEY = re.compile(r"[!-~]{1,64}")
FIELDS = frozenset(
    {"event_id", "campaign", "creative", "kind", "occurred_at", "cost_micros", "revenue_micros", "country", "device"}
    | {"channel", "visitor", "viewable", "user_agent", "prefetch"}
)
BOT = re.compile(
    r"(?<!cu)bot\b|crawl|spider|slurp|facebookexternalhit|preview|monitor|headless|lighthouse", re.IGNORECASE
)
PROGRAM = re.compile(
    r"^(curl|wget|python|java|go-http|okhttp|libwww|axios|node|ruby|php|scrapy|postman)", re.IGNORECASE
)
"""General invalid traffic as the Media Rating Council lists it: declared robots, non-browser agents, prefetches."""


class Refused(ValueError):
    """The event is not taken. `reason` is a stable word, the message says it in words."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason = reason
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Known:
    """What the caller may record for: a campaign's creatives by their key."""

    creatives: Mapping[str, int] = field(default_factory=dict)


def read(given: Any, *, known: Mapping[int, Known], now: datetime) -> dict[str, Any]:
    """The event as columns of its row. Raises Refused."""
    if not isinstance(given, dict):
        raise Refused("malformed", "Not an object.")
    if unknown := sorted(set(given) - FIELDS):
        raise Refused("unknown_field", f"There is no field {unknown[0][:50]!r}.")
    campaign_id = given.get("campaign")
    if type(campaign_id) is not int or campaign_id not in known:
        raise Refused("unknown_campaign", "No campaign of that id that you may record events of.")
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in Kind.values:
        raise Refused("invalid_kind", f"One of {', '.join(Kind.values)}.")
    viewable = given.get("viewable")
    if viewable is not None and (type(viewable) is not bool or kind != Kind.IMPRESSION):
        raise Refused("invalid_viewable", "true or false, and of impressions only.")
    revenue = _money(given, "revenue_micros")
    if revenue and kind != Kind.CONVERSION:
        raise Refused("invalid_money", "Only a conversion has revenue.")
    return {
        "event_id": event_id(given),
        "campaign_id": campaign_id,
        "creative_id": _creative(given, known[campaign_id]),
        "kind": kind,
        "occurred_at": _moment(given.get("occurred_at"), now=now),
        "received_at": now,
        "cost": _money(given, "cost_micros"),
        "revenue": revenue,
        "country": _matching(given, "country", COUNTRY, "Two capital letters (ISO 3166): DE."),
        "device": _one_of(given, "device", DEVICES),
        "channel": _one_of(given, "channel", CHANNELS),
        "visitor": _matching(given, "visitor", KEY, "1 to 64 printable ASCII characters."),
        "viewable": viewable,
        "attribution": "",
        "drop_reason": _drop_reason(given),
    }


def event_id(given: Mapping[str, Any]) -> UUID:
    """Its own id, which makes sending it again harmless."""
    text = given.get("event_id")
    try:
        if not isinstance(text, str) or len(text) > 36:
            raise ValueError
        return UUID(text)
    except ValueError:
        raise Refused("invalid_event_id", "A UUID, the same whenever this event is sent again.") from None


def _moment(text: Any, *, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) and len(text) <= 40 else None
        if at is None or at.tzinfo is None:
            raise ValueError
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("invalid_time", "A time like 2027-01-31T08:00:00Z (with Z or an offset).") from None
    if at > now + AHEAD_MAX:
        raise Refused("in_the_future", "More than 5 minutes ahead of our clock.")
    if at < now - AGE_MAX:
        raise Refused("too_old", "More than 90 days ago.")
    return at


def _creative(given: Mapping[str, Any], known: Known) -> int | None:
    key = given.get("creative")
    if key is None:
        return None
    if not isinstance(key, str) or key not in known.creatives:
        raise Refused("unknown_creative", "The campaign has no creative of that key.")
    return known.creatives[key]


def _money(given: Mapping[str, Any], name: str) -> int:
    amount = given.get(name, 0)
    if type(amount) is not int or not 0 <= amount <= MONEY_MAX:
        raise Refused("invalid_money", f"{name}: a whole number of micros, from 0 to {MONEY_MAX}.")
    return amount


def _matching(given: Mapping[str, Any], name: str, form: re.Pattern[str], words: str) -> str:
    text = given.get(name)
    if text is None or text == "":
        return ""
    if not isinstance(text, str) or not form.fullmatch(text):
        raise Refused(f"invalid_{name}", words)
    return text


def _one_of(given: Mapping[str, Any], name: str, words: tuple[str, ...]) -> str:
    text = given.get(name)
    if text is None or text == "":
        return ""
    if not isinstance(text, str) or text not in words:
        raise Refused(f"invalid_{name}", f"One of {', '.join(words)}.")
    return text


def _drop_reason(given: Mapping[str, Any]) -> str:
    agent, prefetch = given.get("user_agent", ""), given.get("prefetch", False)
    if not isinstance(agent, str) or type(prefetch) is not bool:
        raise Refused("malformed", "user_agent: a text; prefetch: true or false.")
    if prefetch:
        return "prefetch"
    if PROGRAM.search(agent[:500]):
        return "not_a_browser"
    return "bot" if BOT.search(agent[:500]) else ""
