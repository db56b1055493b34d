"""The sweep: reads Stripe's own list of events and stores what was never delivered to us.

    no cursor, or Stripe knows its event no more ─▶ the last 30 days, newest first; then the cursor is set
    cursor ─▶ what is newer, oldest first; page and cursor are written together

Stripe lists events for 30 days (https://docs.stripe.com/api/events/list), of our own account only; an event that Stripe
failed to make is in no list (see `regenerate`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import F, Sum

from queues.engine import log, wake
from queues.engine.tombstones import Tombstone
from queues.webhooks import inbox, parsing, stripe_api
from queues.webhooks.models import SweepCursor, SweepDay, WebhookEvent

logger = log.get(__name__)

LISTED_FOR = timedelta(days=30)
PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one sweep read: `missing` are stored now; `unreadable` are not events as we know them."""

    listed: int = 0
    missing: int = 0
    unreadable: int = 0

    def __add__(self, other: Found) -> Found:
        return Found(
            listed=self.listed + other.listed,
            missing=self.missing + other.missing,
            unreadable=self.unreadable + other.unreadable,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Of the events that Stripe listed of the last 30 days: `held` have a row or a tombstone here."""

    held: int
    listed: int
    missed: int
    """How many of them had to be stored by the sweep."""

    def __str__(self) -> str:
        return f"{self.held:,} of {self.listed:,} events of the last {LISTED_FOR.days} days held"


def sweep(*, now: datetime, anew: bool = False) -> Found:
    """Read what is new since the last sweep; `anew`, all of the last 30 days. Raises the outcomes of `stripe_api`."""
    cursor = None if anew else SweepCursor.objects.filter(provider=inbox.PROVIDER).first()
    found = None
    if cursor is not None and cursor.occurred_at > now - LISTED_FOR:
        try:
            found = _since(cursor, now=now)
        except stripe_api.Refused as error:  # its event is gone from the list: 404, or 400 about the parameter
            logger.warning("sweep.cursor_lost", event_id=cursor.event_id, words=error.words)
    if found is None:
        found = _all(now=now)
    if found.missing:
        logger.warning("sweep.found", missing=found.missing, listed=found.listed)
        wake.soon(inbox.QUEUE)
    return found


def coverage(*, now: datetime) -> Coverage:
    """As of the last sweep."""
    days = SweepDay.objects.filter(provider=inbox.PROVIDER, day__gte=(now - LISTED_FOR).date())
    sums = days.aggregate(listed=Sum("listed"), missing=Sum("missing"), unreadable=Sum("unreadable"))
    listed = sums["listed"] or 0
    return Coverage(held=listed - (sums["unreadable"] or 0), listed=listed, missed=sums["missing"] or 0)


def _since(cursor: SweepCursor, *, now: datetime) -> Found:
    total = Found()
    while True:
        page = stripe_api.get("/v1/events", params={"limit": PAGE, "ending_before": cursor.event_id})
        events = [event for event in page.get("data", []) if isinstance(event, dict)]
        events = list(itertools.takewhile(lambda event: event.get("id") != cursor.event_id, events))
        if not events:
            SweepCursor.objects.filter(pk=cursor.pk).update(swept_at=now)
            return total
        with transaction.atomic(using=router.db_for_write(WebhookEvent)):
            days = _store(events)
            newest = events[0]
            held = SweepCursor.objects.filter(pk=cursor.pk, event_id=cursor.event_id)
            if not held.update(event_id=newest["id"], occurred_at=_occurred(newest), swept_at=now):
                return total  # another sweep reads the same pages
            _add(days)
        total = sum(days.values(), total)
        if not page.get("has_more"):
            return total
        cursor.event_id = newest["id"]


def _all(*, now: datetime) -> Found:
    """The whole list. Cursor and days are written at its end; a sweep that dies begins anew, and stores less."""
    days: dict[date, Found] = {}
    newest: dict[str, Any] | None = None
    for events in _pages(now - LISTED_FOR):
        newest = newest or events[0]
        for day, found in _store(events).items():
            days[day] = days.get(day, Found()) + found
    earlier = {row.day: row.missing for row in SweepDay.objects.filter(provider=inbox.PROVIDER)}
    with transaction.atomic(using=router.db_for_write(WebhookEvent)):
        SweepDay.objects.filter(provider=inbox.PROVIDER, day__gte=(now - LISTED_FOR).date()).delete()
        # What an earlier sweep stored was missing all the same.
        _add({day: replace(found, missing=found.missing + earlier.get(day, 0)) for day, found in days.items()})
        if newest is not None:
            SweepCursor.objects.update_or_create(
                provider=inbox.PROVIDER,
                defaults={"event_id": newest["id"], "occurred_at": _occurred(newest), "swept_at": now},
            )
    return sum(days.values(), Found())


def _pages(since: datetime) -> Iterator[list[dict[str, Any]]]:
    params: dict[str, Any] = {"limit": PAGE, "created[gte]": int(since.timestamp())}
    while True:
        page = stripe_api.get("/v1/events", params=params)
        events = [event for event in page.get("data", []) if isinstance(event, dict)]
        if events:
            yield events
        if not page.get("has_more") or not events:
            return
        params["starting_after"] = events[-1]["id"]


def _store(events: Sequence[dict[str, Any]]) -> dict[date, Found]:
    """Store what we have neither a row nor a tombstone of, oldest first; returns what was found, by day."""
    known = _known([str(event.get("id")) for event in events])
    days: dict[date, Found] = {}
    for event in reversed(events):
        body = json.dumps(event, separators=(",", ":")).encode()
        day = _occurred(event).date()
        found = Found(listed=1)
        try:
            parsed = parsing.parse(body)
        except parsing.NotAnEvent as error:
            logger.error("sweep.unreadable", event_id=str(event.get("id"))[:200], words=str(error))
            found = Found(listed=1, unreadable=1)
        else:
            arrival = inbox.Arrival(source=WebhookEvent.Source.SWEPT.value)
            if parsed.id not in known and inbox.store(parsed=parsed, body=body, arrival=arrival) is not None:
                found = Found(listed=1, missing=1)
        days[day] = days.get(day, Found()) + found
    return days


def _known(ids: Sequence[str]) -> set[str]:
    keys = {inbox.key_of(each): each for each in ids}
    rows = WebhookEvent.objects.filter(idempotency_key__in=keys).values_list("idempotency_key", flat=True)
    stones = Tombstone.objects.filter(queue=inbox.QUEUE, key__in=keys).values_list("key", flat=True)
    return {keys[key] for key in (*rows, *stones)}


def _add(days: dict[date, Found]) -> None:
    for day, found in sorted(days.items()):
        row, _made = SweepDay.objects.get_or_create(provider=inbox.PROVIDER, day=day)
        SweepDay.objects.filter(pk=row.pk).update(
            listed=F("listed") + found.listed,
            missing=F("missing") + found.missing,
            unreadable=F("unreadable") + found.unreadable,
        )


def _occurred(event: dict[str, Any]) -> datetime:
    created = event.get("created")
    return datetime.fromtimestamp(created if isinstance(created, int) and 0 <= created < parsing.LATEST else 0, UTC)
