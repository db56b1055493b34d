"""How old figures are and what is said about it: a state, its badge and the line under the title."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from analytics import words

FRESH_FOR = timedelta(minutes=5)
EVERY = timedelta(minutes=5)
"""How often an open page asks again."""

FRESH, REFRESHING, STALE, SAVED = "fresh", "refreshing", "stale", "saved"
UNAVAILABLE, PREPARING, EMPTY = "unavailable", "preparing", "empty"
STATES = (FRESH, REFRESHING, STALE, SAVED, UNAVAILABLE, PREPARING, EMPTY)

CAUSES = {
    "query_timeout": "This took longer than 5 seconds, so we stopped it. A shorter period usually works; we are also "
    "retrying in the background.",
    "database_unreachable": "Our database is not answering.",
    "fuse_open": "Our database is not answering.",
    "offline": "Our database is not answering.",
}
UNKNOWN = "Something went wrong on our side. We have been told."


@dataclass(frozen=True, slots=True)
class Badge:
    """What a reader sees of the state."""

    state: str
    word: str
    line: str
    cause: str = ""
    reference: str = ""


def state(
    *, has_figures: bool, as_of: datetime | None, failed: bool, in_flight: bool, empty: bool, now: datetime
) -> str:
    """The state of a panel."""
    if not has_figures or as_of is None:
        return UNAVAILABLE if failed else PREPARING
    if failed:
        return SAVED
    if now - as_of > FRESH_FOR:
        return REFRESHING if in_flight else STALE
    return EMPTY if empty else FRESH


def badge(
    kind: str,
    *,
    as_of: datetime | None,
    now: datetime,
    zone: ZoneInfo,
    next_try_at: datetime | None = None,
    code: str = "",
    reference: str = "",
    days: str = "",
) -> Badge:
    """The words for a state (the wording of the design, section 4.10 of its research)."""
    until = words.clock(as_of, zone, now=now) if as_of else ""
    again = words.clock(max(next_try_at or now + EVERY, now), zone, now=now)
    included = f"Includes everything recorded by {until}."
    match kind:
        case "fresh":
            return Badge(kind, "Up to date", included)
        case "empty":
            return Badge(kind, "No activity", f"No events in {days}. That is a real zero, not a fault. {included}")
        case "refreshing":
            return Badge(kind, "Refreshing…", f"Showing figures up to {until} while we fetch newer ones.")
        case "stale":
            assert as_of is not None
            return Badge(kind, words.age(now - as_of), f"{included} Next update {again}.")
        case "saved":
            line = (
                "We couldn't update this just now. These are the last confirmed figures. "
                f"Includes everything recorded by {until}. Trying again at {again}."
            )
            return Badge(kind, f"Saved copy, {until}", line, CAUSES.get(code, UNKNOWN), _shown(code, reference))
        case "preparing":
            return Badge(kind, "Preparing", "First figures for this campaign appear within a minute.")
    line = "We couldn't load this yet. The rest of the page is not affected."
    return Badge(UNAVAILABLE, "Not available", line, CAUSES.get(code, UNKNOWN), _shown(code, reference))


def _shown(code: str, reference: str) -> str:
    return "" if code in CAUSES else reference
