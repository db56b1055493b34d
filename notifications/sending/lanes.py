"""Lanes: what stops together when our own credential or setting is wrong, or when too many devices turn invalid.

open ── STOP answer, quarantine, staff ──▶ stopped ── its time is up, or staff resume ──▶ half_open
  ▲                                           ▲                                          │ one delivery tries
  └────────────── any answer but STOP ────────┴──────────────── STOP ────────────────────┘

A stopped lane stops the clock: deliveries wait and are not charged. No row means open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from notifications.models import Lane
from queues.engine import log

logger = log.get(__name__)

LOOK_AGAIN = timedelta(seconds=60)
"""How often a delivery of a lane that staff must resume looks whether they did."""
PROBE_WAIT = timedelta(seconds=5)
"""How long the others wait while one delivery tries the lane."""
PROBE_LOST = timedelta(seconds=60)
"""After that long without an answer another one tries: the worker of the first has died."""
MASS_INVALIDATION = "mass invalidation"
WAITING = "its lane to open"
"""What a delivery waits for; the desk says it so."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which lane."""

    app: str
    transport: str
    environment: str
    credential: str

    @property
    def short(self) -> str:
        """As a delivery keeps it."""
        return f"{self.app}/{self.transport}/{self.environment}"

    @property
    def name(self) -> str:
        """Which one exactly: one host of Web Push, or one platform behind FCM, does not stop another."""
        return f"{self.short}/{self.credential}"


type Rows = Mapping[Key, Lane]
"""The lanes that are not open."""


def read(*, transports: Iterable[str]) -> Rows:
    """The lanes of these transports that are not open, in one query."""
    rows = Lane.objects.filter(transport__in=set(transports)).exclude(state=Lane.State.OPEN)
    return {Key(row.app, row.transport, row.environment, row.credential): row for row in rows}


def waits_until(key: Key, rows: Rows, *, now: datetime) -> datetime | None:
    """Until when a delivery of this lane has to wait; None: it may be sent, and then `answered` must be called.

    Of those that come when a lane's time is up, one is let through: who wins the compare-and-set.
    """
    row = rows.get(key)
    if row is None:
        return None
    if row.state == Lane.State.STOPPED and (row.until is None or row.until > now):
        return min(row.until or now + LOOK_AGAIN, now + LOOK_AGAIN)
    tried = Q(state=Lane.State.HALF_OPEN, changed_at__lte=now - PROBE_LOST)
    ripe = Q(state=Lane.State.STOPPED, until__lte=now)
    won = Lane.objects.filter(ripe | tried, pk=row.pk).update(state=Lane.State.HALF_OPEN, changed_at=now)
    return None if won else now + PROBE_WAIT


def works(key: Key, rows: Rows, *, now: datetime) -> None:
    """Any answer but STOP came from a lane that was being tried: it is open again."""
    if (row := rows.get(key)) is None:
        return
    opened = Lane.objects.filter(pk=row.pk, state=Lane.State.HALF_OPEN).update(
        state=Lane.State.OPEN, reason="", words="", until=None, changed_at=now
    )
    if opened:
        logger.info("push.lane_open", lane=key.short)


def stop(key: Key, *, reason: str, words: str = "", last: timedelta | None = None, now: datetime) -> datetime | None:
    """Stop it, for a time or (None) until staff resume it; returns until when."""
    until = now + last if last is not None else None
    state = {"state": Lane.State.STOPPED, "reason": reason[:100], "words": words[:2000], "until": until}
    row, made = Lane.objects.get_or_create(
        app=key.app,
        transport=key.transport,
        environment=key.environment,
        credential=key.credential,
        defaults={**state, "changed_at": now},
    )
    was_open = made or row.state != Lane.State.STOPPED
    if not made:
        # What staff have to look at is not made shorter by an answer that came later.
        held = Q(state=Lane.State.STOPPED, until__isnull=True)
        Lane.objects.filter(pk=row.pk).exclude(held).update(**state, changed_at=now)
    if was_open:
        logger.error("push.lane_stopped", lane=key.short, reason=reason, words=words)
    return until


def resume(row: Lane, *, now: datetime) -> bool:
    """Staff: let one delivery try it; the others follow when it works. Returns whether it was stopped."""
    stopped = Lane.objects.filter(pk=row.pk, state=Lane.State.STOPPED)
    return bool(stopped.update(until=now, changed_at=now))
