"""The way into the push queue: `push.notify(...)` stores one delivery for each device inside the caller's transaction.

users ─▶ their devices ─▶ wished? ── no ─────▶ kept as cancelled: suppressed
                             │── quiet hours ─▶ due when they end
                             └── yes ─────────▶ due now
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import router, transaction
from django.utils import timezone

from notifications.models import PushDelivery, PushDevice
from notifications.sending import content, reach, wishes
from notifications.sending.content import Invalid as Invalid
from queues.engine import enqueue, item, wake
from queues.engine.states import Priority

QUEUE = "push"
KEY_MAX = 220
"""The row's key adds the installation and transport."""
WORD_MAX = 100
TTL = timedelta(days=1)
TTL_MAX = timedelta(days=28)
"""FCM's limit, the shortest of the three."""
AT_ONCE = 500
"""Users of one look-up."""
NAMESPACE = uuid.UUID("8d1f5f0a-6a57-4b0e-9a53-7d0a3d3a2c11")
"""Of push ids made from keys, so that a repeated call is the same push without looking for it."""


class KeyConflict(ValueError):
    """The idempotency key was used before for a push with other content. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What one call made. A repeated one says what the first had made, and `repeated`."""

    push_id: uuid.UUID
    deliveries: int = 0
    """One a device, those that wait for the end of quiet hours among them."""
    deferred: int = 0
    suppressed: Mapping[str, int] = field(default_factory=dict)
    """Deliveries by reason: `preference`, `quiet_hours` (its time is over before they end)."""
    no_device: int = 0
    """Users without a device it may go to."""
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A push as its sender wishes it."""

    words: content.Content
    category: str = ""
    campaign: str = ""
    key: str = ""
    ttl: timedelta = TTL
    urgent: bool = False
    send_at: datetime | None = None


def notify(
    *,
    users: Iterable[AbstractBaseUser | int],
    title: str,
    body: str = "",
    url: str = "",
    data: Mapping[str, str] | None = None,
    category: str = "",
    campaign: str = "",
    key: str = "",
    ttl: timedelta = TTL,
    urgent: bool = False,
    send_at: datetime | None = None,
    now: datetime | None = None,
) -> Pushed:
    """Push to the devices of these users (rows or ids), all or nothing with the caller's transaction.

    A push of a `campaign` leaves out devices not seen for long, unless it is `urgent`; urgent ones pass quiet hours.
    With a `key` a repetition is the same push: whoever has it gets nothing new. `ttl` counts from `send_at`.
    Raises Invalid or KeyConflict; nothing is stored then.
    """
    now = now or timezone.now()
    words = content.Content(title=title, body=body, url=url, data=data or {})
    draft = Draft(words=words, category=category, campaign=campaign, key=key, ttl=ttl, urgent=urgent, send_at=send_at)
    common = _common(draft, now)
    wanted = list(dict.fromkeys(each if isinstance(each, int) else each.pk for each in users))
    counts: Counter[str] = Counter()
    suppressed: Counter[str] = Counter()
    with transaction.atomic(using=router.db_for_write(PushDelivery)):
        for start in range(0, len(wanted), AT_ONCE):
            part = wanted[start : start + AT_ONCE]
            live, never = _rows(draft, common, part, counts, suppressed, now)
            _store(live, counts)
            _store(never, counts)
    if live_rows := counts["deliveries"]:
        wake.soon(QUEUE)
    return Pushed(
        push_id=common["push_id"],
        deliveries=live_rows,
        deferred=counts["deferred"],
        suppressed=dict(suppressed),
        no_device=counts["no_device"],
        repeated=bool(counts["repeated"]) and not counts["fresh"],
    )


def _common(draft: Draft, now: datetime) -> dict[str, Any]:
    """The columns that all deliveries of one push share. Raises Invalid."""
    payload = draft.words.payload()
    for name in ("category", "campaign"):
        word = getattr(draft, name)
        if not isinstance(word, str) or len(word) > WORD_MAX or not (word.isprintable() or not word):
            raise Invalid(name, f"one line of at most {WORD_MAX} characters")
    if len(draft.key) > KEY_MAX or draft.key.startswith("auto:") or not (draft.key.isprintable() or not draft.key):
        raise Invalid("key", f"at most {KEY_MAX} characters of one line, not beginning with auto:")
    if not timedelta(seconds=1) <= draft.ttl <= TTL_MAX:
        raise Invalid("ttl", f"between 1 second and {TTL_MAX.days} days")
    if draft.send_at is not None and draft.send_at.tzinfo is None:
        raise Invalid("send_at", "without a time zone")
    due_at = max(draft.send_at or now, now)
    push_id = uuid.uuid5(NAMESPACE, draft.key) if draft.key else uuid.uuid4()
    return {
        "kind": draft.category,
        "priority": Priority.URGENT if draft.urgent else Priority.LOW if draft.campaign else Priority.NORMAL,
        "content_hash": content.digest(payload, draft.category, draft.campaign) if draft.key else "",
        "created_at": now,
        "due_at": due_at,
        "first_due_at": due_at if due_at > now else None,
        "expires_at": due_at + draft.ttl,
        "purpose": PushDelivery.Purpose.NOTIFY.value,
        "push_id": push_id,
        "campaign": draft.campaign,
        "payload": payload,
        "collapse_id": push_id.hex,
        "urgent": draft.urgent,
    }


def _rows(
    draft: Draft,
    common: Mapping[str, Any],
    users: list[int],
    counts: Counter[str],
    suppressed: Counter[str],
    now: datetime,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is to be sent, and what is only kept to say why it is not."""
    live: list[dict[str, Any]] = []
    never: list[dict[str, Any]] = []
    preferences = wishes.read(users)
    devices = _by_user(reach.devices(users=users, campaign=draft.campaign, urgent=draft.urgent, now=now))
    for user in users:
        if not devices[user]:
            counts["no_device"] += 1
            continue
        wish = wishes.of(preferences, user=user, category=draft.category)
        quiet = None if draft.urgent else wishes.quiet_until(wish, at=common["due_at"])
        reason = "" if wish.wanted else "preference"
        if quiet is not None and quiet >= common["expires_at"]:
            reason = reason or "quiet_hours"
        for device in devices[user]:
            row = {**common, "idempotency_key": _key(draft, device), "device_id": device.pk, "user_id": user}
            if reason:
                suppressed[reason] += 1
                words = reach.SUPPRESSED[reason]
                never.append(enqueue.never(row, code=f"suppressed:{reason}", words=words, now=now))
                continue
            counts["deliveries"] += 1
            counts["deferred"] += quiet is not None
            live.append(row | ({"due_at": quiet, "first_due_at": quiet} if quiet is not None else {}))
    return live, never


def _by_user(devices: Iterator[PushDevice]) -> Mapping[int, list[PushDevice]]:
    found: dict[int, list[PushDevice]] = defaultdict(list)
    for device in devices:
        found[device.installation.user_id].append(device)
    return found


def _key(draft: Draft, device: PushDevice) -> str:
    """By installation and not by address, so that a token that changed in between gets no second copy."""
    return f"{draft.key}:{device.installation_id}:{device.transport}" if draft.key else item.fresh_key()


def _store(rows: list[dict[str, Any]], counts: Counter[str]) -> None:
    for row, entry in zip(rows, enqueue.insert(QUEUE, PushDelivery, rows), strict=True):
        if entry.repeated and entry.content_hash != row["content_hash"]:
            raise KeyConflict("the idempotency key was used before for another push")
        counts["repeated" if entry.repeated else "fresh"] += 1
