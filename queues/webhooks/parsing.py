"""What an authentic body says: the few fields the inbox needs, within bounds; the rest stays as it came.

Snapshot events (`"object": "event"`) and thin ones (`"object": "v2.core.event"`; also of v1 resources) differ in how
they name their object and their time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from queues.engine.outcomes import clean

DEPTH_MAX = 64
"""Levels of a body; Stripe's deepest known event has about a dozen."""
IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\[\]-]{0,99}")
UNSTORABLE_SIGNS = (b"\\u0000", b"\\ud", b"\\uD")
LATEST = 2**33
"""Seconds since 1970: the year 2242. Past the year 9999 no datetime exists."""


class NotAnEvent(ValueError):
    """The body is not one of Stripe's events; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The fields of the inbox, and the whole as `data`."""

    id: str
    type: str
    created: datetime
    api_version: str
    livemode: bool
    account: str
    object_id: str
    thin: bool
    snapshot_event: str
    data: Mapping[str, Any]

    @property
    def lane(self) -> str | None:
        """One a Stripe object; None for what is about none (a balance)."""
        return f"{self.account}:{self.object_id}"[:255] if self.object_id else None


def parse(body: bytes) -> Parsed:
    """Read an event. Raises NotAnEvent."""
    data = load(body)
    kind = data.get("object", "event")
    if kind not in ("event", "v2.core.event"):
        raise NotAnEvent("`object` is not event or v2.core.event")
    thin = kind == "v2.core.event"
    about = _related(data) if thin else _embedded(data)
    return Parsed(
        id=_matched(data, "id", IDENTITY),
        type=_matched(data, "type", KIND),
        created=_iso(data.get("created")) if thin else _epoch(data.get("created")),
        api_version=_matched(data, "api_version", IDENTITY, needed=False)[:50],
        livemode=_flag(data.get("livemode", False)),
        account=_matched(data, "context" if thin else "account", re.compile(r"[A-Za-z0-9_/.-]{1,200}"), needed=False),
        object_id=_object_id(about),
        thin=thin,
        snapshot_event=_matched(data, "snapshot_event", IDENTITY, needed=False) if thin else "",
        data=data,
    )


def load(body: bytes) -> dict[str, Any]:
    """The JSON object that the body is. Raises NotAnEvent: wrong encoding, too deep, NaN, not an object."""
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NotAnEvent(f"not JSON: {type(error).__name__}") from None
    if not isinstance(data, dict):
        raise NotAnEvent("not a JSON object")
    if body.count(b"{") + body.count(b"[") > DEPTH_MAX and _depth_over(data, DEPTH_MAX):
        raise NotAnEvent("nested too deeply")
    return data


def storable(body: bytes, data: dict[str, Any]) -> dict[str, Any]:
    """The data with NUL and lone surrogates replaced, which no database takes; unchanged if there are none."""
    if not any(sign in body for sign in UNSTORABLE_SIGNS):
        return data
    cleaned: dict[str, Any] = _cleaned(data)
    return cleaned


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {clean(name): _cleaned(each) for name, each in value.items()}
    return value


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _depth_over(data: Any, limit: int) -> bool:
    level = [data]
    for _ in range(limit):
        below = []
        for each in level:
            inside = each.values() if isinstance(each, dict) else each
            below += [value for value in inside if isinstance(value, dict | list)]
        if not below:
            return False
        level = below
    return True


def _matched(data: Mapping[str, Any], name: str, form: re.Pattern[str], *, needed: bool = True) -> str:
    value = data.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or not form.fullmatch(value):
        raise NotAnEvent(f"`{name}` is missing or malformed")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise NotAnEvent("`livemode` is not true or false")
    return value


def _epoch(value: Any) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LATEST:
        raise NotAnEvent("`created` is not a time")
    return datetime.fromtimestamp(value, UTC)


def _iso(value: Any) -> datetime:
    try:
        created = datetime.fromisoformat(value)
        if created.tzinfo is None or not 1970 <= created.year < 2242:
            raise ValueError
        return created.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise NotAnEvent("`created` is not a time") from None


def _embedded(data: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = data.get("data")
    about = inner.get("object") if isinstance(inner, dict) else None
    if not isinstance(about, dict):
        raise NotAnEvent("`data.object` is missing")
    return about


def _related(data: Mapping[str, Any]) -> Mapping[str, Any]:
    about = data.get("related_object")
    if about is not None and not isinstance(about, dict):
        raise NotAnEvent("`related_object` is malformed")
    return about or {}


def _object_id(about: Mapping[str, Any]) -> str:
    value = about.get("id")
    return value if isinstance(value, str) and IDENTITY.fullmatch(value) else ""
