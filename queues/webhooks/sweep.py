"""The sweep: reads Stripe's own lists of events and stores what was never delivered to us.

    no cursor, or Stripe knows its event no more ─▶ the last 30 days, newest first; then the cursor is set
    cursor ─▶ what is newer; of a v1 list oldest first, page and cursor written together

Each list (`listings`) has a cursor of its own, and one that Stripe refuses to show keeps no other from being read. A
snapshot event and its thin twin say the same, so who holds one of them holds both. An event that Stripe failed to make
is in no list (see `regenerate`).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from django.db import router, transaction
from django.db.models import F, Q, QuerySet, Sum

from queues.engine import log, wake
from queues.engine.outcomes import Transient
from queues.engine.tombstones import Tombstone
from queues.webhooks import inbox, listings, parsing, stripe_api
from queues.webhooks.listings import Listing, Page
from queues.webhooks.models import SweepCursor, SweepDay, WebhookEvent

logger = log.get(__name__)

LISTED_FOR = timedelta(days=30)
"""https://docs.stripe.com/api/events/list"""
THIN_OVERLAP = timedelta(minutes=10)
"""A v2 list is read from a time on: some of it again, for events that were listed late."""
OWN = (Listing().name, Listing(path=listings.V2).name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one sweep read: `missing` are stored now; `unreadable` are not events as we know them."""

    listed: int = 0
    missing: int = 0
    unreadable: int = 0
    unread: int = 0
    """Lists that Stripe refused to show; the log names them."""

    def __add__(self, other: Found) -> Found:
        return Found(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Found)})


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
    found, trouble = Found(), None
    for listing in listings.every():
        try:
            found += _read(listing, now=now, anew=anew)
        except Transient as outcome:  # perhaps of this account alone
            trouble = trouble or outcome
            if isinstance(outcome, stripe_api.Down | stripe_api.NotSetUp):
                break
    if found.missing:
        logger.warning("sweep.found", missing=found.missing, listed=found.listed)
        wake.soon(inbox.QUEUE)
    if trouble is not None:
        raise trouble
    # Accounts that left have no list any more. What is left says by its oldest `swept_at` that the sweep works.
    _cursors().filter(swept_at__lt=now).exclude(listing__in=OWN).delete()
    return found


def coverage(*, now: datetime) -> Coverage:
    """As of the last sweep."""
    days = SweepDay.objects.filter(provider=inbox.PROVIDER, day__gte=(now - LISTED_FOR).date())
    sums = days.aggregate(listed=Sum("listed"), missing=Sum("missing"), unreadable=Sum("unreadable"))
    listed = sums["listed"] or 0
    return Coverage(held=listed - (sums["unreadable"] or 0), listed=listed, missed=sums["missing"] or 0)


def _read(listing: Listing, *, now: datetime, anew: bool) -> Found:
    """One list. Refused are: a key that may not see it, an account that left, an API without it."""
    try:
        cursor = None if anew else _cursors().filter(listing=listing.name).first()
        if cursor is not None and cursor.occurred_at > now - LISTED_FOR:
            if listing.thin:
                return _since_time(listing, cursor, now=now)
            try:
                return _since_event(listing, cursor, now=now)
            except stripe_api.Refused as error:  # its event is gone from the list: 404, or 400 about the parameter
                logger.warning("sweep.cursor_lost", event_id=cursor.event_id, words=error.words)
        return _all(listing, now=now)
    except stripe_api.Refused as error:
        if listing == Listing():
            raise
        logger.warning("sweep.list_refused", listing=listing.name, words=error.words)
        _cursors().filter(listing=listing.name).delete()
        return Found(unread=1)


def _cursors() -> QuerySet[SweepCursor]:
    return SweepCursor.objects.filter(provider=inbox.PROVIDER)


def _since_event(listing: Listing, cursor: SweepCursor, *, now: datetime) -> Found:
    total = Found()
    while True:
        page, more = listing.newer_page(cursor.event_id)
        events = list(itertools.takewhile(lambda event: event.get("id") != cursor.event_id, page))
        if not events:
            SweepCursor.objects.filter(pk=cursor.pk).update(swept_at=now)
            return total
        with transaction.atomic(using=router.db_for_write(WebhookEvent)):
            days = _store(events)
            if not _move(cursor, events[0], now=now):
                return total  # another sweep reads the same pages
            _add(listing, days)
        total = sum(days.values(), total)
        if not more:
            return total
        cursor.event_id = events[0]["id"]


def _since_time(listing: Listing, cursor: SweepCursor, *, now: datetime) -> Found:
    """The cursor moves at the end: a sweep that dies on its way reads the same again, and stores less."""
    days: dict[date, Found] = {}
    newest: dict[str, Any] | None = None
    for events in listing.all_pages(cursor.occurred_at - THIN_OVERLAP):
        newest = newest or events[0]
        _merge(days, _store(events, counted_until=cursor.occurred_at))
    with transaction.atomic(using=router.db_for_write(WebhookEvent)):
        if not _move(cursor, newest or {"id": cursor.event_id}, now=now):
            return Found()
        _add(listing, days)
    return sum(days.values(), Found())


def _move(cursor: SweepCursor, newest: dict[str, Any], *, now: datetime) -> bool:
    """Compare and set; False if another sweep was faster."""
    held = SweepCursor.objects.filter(pk=cursor.pk, event_id=cursor.event_id)
    occurred_at = max(_occurred(newest), cursor.occurred_at)
    return bool(held.update(event_id=newest["id"], occurred_at=occurred_at, swept_at=now))


def _all(listing: Listing, *, now: datetime) -> Found:
    """The whole list. Cursor and days are written at its end; a sweep that dies begins anew, and stores less."""
    days: dict[date, Found] = {}
    newest: dict[str, Any] | None = None
    for events in listing.all_pages(now - LISTED_FOR):
        newest = newest or events[0]
        _merge(days, _store(events))
    kept = SweepDay.objects.filter(provider=inbox.PROVIDER, listing=listing.name)
    with transaction.atomic(using=router.db_for_write(WebhookEvent)):
        earlier = {row.day: row.missing for row in kept}
        kept.filter(day__gte=(now - LISTED_FOR).date()).delete()
        # What an earlier sweep stored was missing all the same.
        _add(listing, {day: replace(each, missing=each.missing + earlier.get(day, 0)) for day, each in days.items()})
        if newest is not None:
            SweepCursor.objects.update_or_create(
                provider=inbox.PROVIDER,
                listing=listing.name,
                defaults={"event_id": newest["id"], "occurred_at": _occurred(newest), "swept_at": now},
            )
    return sum(days.values(), Found())


def _store(events: Page, *, counted_until: datetime | None = None) -> dict[date, Found]:
    """Store what we hold in no form, oldest first; returns what was found, by day.

    Events that are not newer than `counted_until` were counted before: of them only what is missing counts.
    """
    held = _held(events)
    days: dict[date, Found] = {}
    for event in reversed(events):
        body = json.dumps(event, separators=(",", ":")).encode()
        occurred_at = _occurred(event)
        found = Found(listed=int(counted_until is None or occurred_at > counted_until))
        try:
            parsed = parsing.parse(body)
        except parsing.NotAnEvent as error:
            logger.error("sweep.unreadable", event_id=str(event.get("id"))[:200], words=str(error))
            found = replace(found, unreadable=found.listed)
        else:
            arrival = inbox.Arrival(source=WebhookEvent.Source.SWEPT.value)
            if parsed.id not in held and inbox.store(parsed=parsed, body=body, arrival=arrival) is not None:
                found = Found(listed=1, missing=1)
        _merge(days, {occurred_at.date(): found})
    return days


def _held(events: Page) -> set[str]:
    """Ids of those events that we have a row or a tombstone of, or of their twin."""
    snapshots = {str(event.get("id")): str(event.get("snapshot_event") or "") for event in events}
    keys = {inbox.key_of(each): each for pair in snapshots.items() for each in pair if each}
    rows = WebhookEvent.objects.filter(idempotency_key__in=keys).values_list("idempotency_key", flat=True)
    stones = Tombstone.objects.filter(queue=inbox.QUEUE, key__in=keys).values_list("key", flat=True)
    known = {keys[key] for key in (*rows, *stones)}
    twins = WebhookEvent.objects.filter(Q(snapshot_event__in=snapshots), ~Q(snapshot_event=""))
    known.update(cast("QuerySet[WebhookEvent]", twins).values_list("snapshot_event", flat=True))
    return {each for each, snapshot in snapshots.items() if each in known or snapshot in known}


def _merge(days: dict[date, Found], more: dict[date, Found]) -> None:
    for day, found in more.items():
        days[day] = days.get(day, Found()) + found


def _add(listing: Listing, days: dict[date, Found]) -> None:
    for day, found in sorted(days.items()):
        row, _made = SweepDay.objects.get_or_create(provider=inbox.PROVIDER, listing=listing.name, day=day)
        SweepDay.objects.filter(pk=row.pk).update(
            listed=F("listed") + found.listed,
            missing=F("missing") + found.missing,
            unreadable=F("unreadable") + found.unreadable,
        )


def _occurred(event: dict[str, Any]) -> datetime:
    """The event's `created`, for counting and for the cursor; 1970 where it says nothing usable."""
    created = event.get("created")
    if isinstance(created, str):
        try:
            return datetime.fromisoformat(created).astimezone(UTC)
        except (ValueError, OverflowError):
            created = 0
    return datetime.fromtimestamp(created if isinstance(created, int) and 0 <= created < parsing.LATEST else 0, UTC)
