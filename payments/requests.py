"""Asking Stripe to create something, once, whatever happens in between.

    first time          POST with the key <operation>:<subject>:1
    answer missing      the same key again: Stripe answers with what it made, or makes it now
    23 h later          Stripe may have forgotten the key (24 h): look for the thing; only if it is not there, a new key
    Stripe said 500     it would answer so to this key for a day: look, then a new key
    refused (4xx)       nothing was made; look, then a new key, if anybody asks again

One caller at a time sends; others wait for its answer (a double click). Nothing is locked while the network is waited
for: a row that was taken is free again after `BUSY`. Keys: https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from payments.models import StripeRequest
from queues.engine.outcomes import Outcome, Permanent, Transient

KEY_LIVES = timedelta(hours=23)
"""Less than the 24 h after which Stripe may prune a key."""
BUSY = timedelta(seconds=20)
"""Longer than any call to Stripe takes (15 s)."""
PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.1
REMEMBERED = "stripe 500"
"""The outcome that Stripe answers the same key with for a day. Its 502, 503 and 504 come from before the work, or
while it goes on: then the same key is right.
"""

SESSION, REFUND = "checkout.session", "refund"
"""The operations."""

type Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """One thing to be created at Stripe."""

    operation: str
    subject: str
    create: Callable[[str], Found]
    """POST it with this idempotency key; the answer as a dict with `id`. Raises an outcome."""
    look: Callable[[StripeRequest], Found | None]
    """Search Stripe for it; it was sent between the row's `created_at` and `last_sent_at`."""
    keep: Callable[[Found], None]
    """Store it; runs in the transaction that marks it as created."""


class Busy(Transient):
    """Another caller is just asking Stripe for the same thing, and had no answer within our patience."""


def once(creation: Creation, *, clock: Callable[[], datetime] = timezone.now) -> None:
    """Create it unless it was created before; when this returns, `keep` has run, here or elsewhere.

    Raises what Stripe's answer means (an outcome), or Busy. Outside a transaction: what is sent must be on record.
    """
    row, _new = StripeRequest.objects.get_or_create(operation=creation.operation, subject=creation.subject)
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not row.resource and not _taken(row, now=clock()):
        if time.monotonic() > give_up:
            raise Busy("The same request is still waiting for Stripe.", code="stripe busy")
        time.sleep(POLL_SECONDS)
        row.refresh_from_db()
    row.refresh_from_db()
    if row.resource:
        return
    try:
        found = _send(row, creation, clock=clock)
    except Outcome as outcome:
        _failed(row, outcome)
        raise
    except BaseException:
        _mine(row).update(busy_until=None)
        raise
    with transaction.atomic():
        if _mine(row).update(resource=found["id"], answered_at=clock(), busy_until=None, last_words=""):
            creation.keep(found)


def _taken(row: StripeRequest, *, now: datetime) -> bool:
    """Compare and set: of many callers one sends."""
    free = StripeRequest.objects.filter(Q(busy_until__isnull=True) | Q(busy_until__lte=now), pk=row.pk, resource="")
    return bool(free.update(busy_until=now + BUSY))


def _mine(row: StripeRequest) -> Any:
    return StripeRequest.objects.filter(pk=row.pk, resource="")


def _send(row: StripeRequest, creation: Creation, *, clock: Callable[[], datetime]) -> Found:
    now = clock()
    forgotten = row.key_sent_at is not None and now - row.key_sent_at > KEY_LIVES
    if forgotten or row.look_first:
        found = creation.look(row)
        if found is not None:
            return found
        row.attempt, row.key_sent_at, row.look_first = row.attempt + 1, None, False
    row.key_sent_at, row.last_sent_at = row.key_sent_at or now, now
    # On record before it goes out: a crash from here on must find the key it used.
    row.save(update_fields=["attempt", "key_sent_at", "last_sent_at", "look_first"])
    return creation.create(row.idempotency_key)


def _failed(row: StripeRequest, outcome: Outcome) -> None:
    remembers = isinstance(outcome, Permanent) or outcome.code == REMEMBERED
    _mine(row).update(busy_until=None, last_words=outcome.words[:500], look_first=row.look_first or remembers)
