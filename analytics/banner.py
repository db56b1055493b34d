"""The one banner over a page: only when it matters, naming the panels, the last good time and the next try."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics import delays, freshness, watch, words
from analytics.board import Board
from analytics.fuse import FUSE
from analytics.showing import Shown

STALE_FOR = 2 * freshness.FRESH_FOR
EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Banner:
    """What it says; `kind` is `delayed` or `again`."""

    kind: str
    title: str
    text: str


def of(board: Board) -> Banner | None:
    """The banner of a page, if it needs one."""
    affected = [shown for shown in board.panels if _suffers(shown, board)]
    blown = FUSE.seconds_left() > 0 or board.offline
    if affected and (blown or watch.matters([shown.panel.name for shown in affected])):
        return Banner("delayed", "Some figures are delayed.", _text(board, affected))
    if board.recovered_at is not None and not affected:
        again = words.clock(board.recovered_at, board.header.zone, now=board.now)
        return Banner("again", f"Updated again at {again}.", "")
    return None


def _suffers(shown: Shown, board: Board) -> bool:
    if shown.delayed and (shown.failures >= delays.TRIES or board.offline or FUSE.seconds_left() > 0):
        return True
    return shown.as_of is not None and board.now - shown.as_of > STALE_FOR


def _text(board: Board, affected: list[Shown]) -> str:
    zone, now = board.header.zone, board.now
    parts = []
    with_copy = [shown for shown in affected if shown.as_of is not None]
    without = [shown for shown in affected if shown.as_of is None]
    if with_copy:
        oldest = min(shown.as_of for shown in with_copy if shown.as_of is not None)
        verb = "shows" if len(with_copy) == 1 else "show"
        parts.append(f"{_names(with_copy)} {verb} confirmed data up to {words.clock(oldest, zone, now=now)}")
    if without:
        parts.append(f"{_names(without)} {'is' if len(without) == 1 else 'are'} not available")
    good = [shown for shown in board.panels if shown not in affected]
    if good and all(shown.badge.state in (freshness.FRESH, freshness.EMPTY) for shown in good):
        parts.append(f"{_names(good)} {'is' if len(good) == 1 else 'are'} up to date")
    # Events are stored in the same database: only while it answers can we say that they are.
    kept = "" if board.offline or FUSE.seconds_left() > 0 else " Nothing has been lost: events keep being recorded."
    return f"{'; '.join(parts)}.{kept} Next try {words.clock(_next(affected, now), zone, now=now)}."


def _next(affected: list[Shown], now: datetime) -> datetime:
    """Of those that failed the earliest; the clock tries everything once a minute."""
    tries = [shown.next_try_at for shown in affected if shown.next_try_at is not None]
    return max(min(tries), now) if tries else now + EVERY


def _names(panels: list[Shown]) -> str:
    names = [shown.panel.title for shown in panels]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
