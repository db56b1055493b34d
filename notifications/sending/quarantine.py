"""The mass-invalidation breaker: devices that "turn invalid" by the hundred are mostly our own mistake.

    a refusal ─▶ invalid ─▶ more than 5 % of the lane, and at least 20, within 10 minutes?
                              └─▶ all of them are quarantined, the lane stops, and staff judge:
                                    restore   they were healthy: back to what they were
                                    release   they really are gone: they stay, or become, invalid

Runs inside the transaction that settles the delivery. The lane's row is locked first, so that no refusal slips between
the count and the stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from notifications.devices import transitions
from notifications.models import DeviceTransition, Lane, PushDevice
from notifications.sending import lanes
from notifications.states import DeviceStatus, Reason, Transport
from notifications.transports import fcm
from notifications.transports.answers import Answer
from queues.engine import log

logger = log.get(__name__)

LEAST = 20
SHARE = 20
"""One in so many: 5 %."""
WITHIN = timedelta(minutes=10)
AT_ONCE = 2000
"""Devices one judgement moves; the rest is said, and waits for the next."""
REFUSALS = (Reason.REFUSED, Reason.MALFORMED, Reason.KEY_ROTATED, Reason.WRONG_SENDER)
KNOWN = (DeviceStatus.ACTIVE, DeviceStatus.SUSPECT, DeviceStatus.STALE)
"""Pending ones were never good: a refusal of theirs says nothing about the lane."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judgement did, and how many wait for the next one."""

    devices: Sequence[int]
    left: int


def refused(*, device: PushDevice, answer: Answer, key: lanes.Key, delivery_id: int, now: datetime) -> bool:
    """The push service calls the address dead: invalid, or quarantined if too many are. Whether the lane is stopped."""
    said: dict[str, Any] = {"answer": answer, "delivery_id": delivery_id}
    reason = answer.device_reason or Reason.REFUSED
    if device.status == DeviceStatus.PENDING:
        transitions.invalidated(device=device, reason=reason, now=now, **said)
        return False
    lane = _locked(key)
    if lane.state != Lane.State.OPEN and lane.reason == lanes.MASS_INVALIDATION:
        if device.status in KNOWN:
            transitions.quarantined(devices=[device], now=now, words=answer.words)
        return True
    if not (transitions.invalidated(device=device, reason=reason, now=now, **said) and _too_many(key, now=now)):
        return False
    _trip(key, now=now)
    return True


def held(lane: Lane) -> QuerySet[PushDevice]:
    """The lane's devices in quarantine."""
    return PushDevice.objects.filter(_members(_key(lane)), quarantined_at__isnull=False).order_by("pk")


def restore(lane: Lane, *, now: datetime, words: str) -> Judged:
    """Staff: they were healthy. In the caller's transaction."""
    devices = _next(lane)
    for device in devices:
        transitions.restored(device=device, now=now, words=words)
    return _judged(lane, devices, now=now)


def release(lane: Lane, *, now: datetime, words: str) -> Judged:
    """Staff: the push service was right. In the caller's transaction."""
    devices = _next(lane)
    for device in devices:
        transitions.released(device=device, now=now, words=words)
    return _judged(lane, devices, now=now)


def _next(lane: Lane) -> list[PushDevice]:
    Lane.objects.select_for_update().get(pk=lane.pk)
    return list(held(lane)[:AT_ONCE])


def _judged(lane: Lane, devices: Sequence[PushDevice], *, now: datetime) -> Judged:
    """With the last of them the lane is tried again, if it was stopped for this."""
    left = held(lane).count()
    if devices and not left and lane.reason == lanes.MASS_INVALIDATION:
        lanes.resume(lane, now=now)
    return Judged([device.pk for device in devices], left)


def _locked(key: lanes.Key) -> Lane:
    assert transaction.get_connection(router.db_for_write(Lane)).in_atomic_block
    parts: dict[str, Any] = {"app": key.app, "transport": key.transport, "environment": key.environment}
    parts["credential"] = key.credential
    row, _made = Lane.objects.select_for_update().get_or_create(**parts)
    return row


def _too_many(key: lanes.Key, *, now: datetime) -> bool:
    judged = DeviceTransition.objects.filter(device=OuterRef("pk"), cause="released", at__gt=now - WITHIN)
    gone = PushDevice.objects.filter(
        _members(key),
        status=DeviceStatus.INVALID,
        status_reason__in=REFUSALS,
        status_changed_at__gt=now - WITHIN,
        verified_at__isnull=False,
    ).exclude(Exists(judged))
    number = gone.count()
    if number < LEAST:
        return False
    # Only whether they are more than 5 % matters, so no more are counted than that takes.
    most = number * (SHARE - 1)
    return PushDevice.objects.filter(_members(key), status__in=KNOWN)[:most].count() < most


def _trip(key: lanes.Key, *, now: datetime) -> None:
    gone = PushDevice.objects.filter(
        _members(key), status=DeviceStatus.INVALID, status_reason__in=REFUSALS, status_changed_at__gt=now - WITHIN
    )
    devices = list(gone.filter(verified_at__isnull=False, quarantined_at=None))
    words = f"{len(devices)} devices were called dead within {WITHIN.seconds // 60} minutes."
    number = transitions.quarantined(devices=devices, now=now, words=words)
    lanes.stop(key, reason=lanes.MASS_INVALIDATION, words=words, now=now)
    logger.error("push.mass_invalidation", lane=key.short, devices=number)


def _members(key: lanes.Key) -> Q:
    """The devices that a lane carries. A credential says after its @ to whom: a host, or a platform behind FCM."""
    lane = Q(app=key.app, transport=key.transport, environment=key.environment)
    whom = key.credential.partition("@")[2]
    if key.transport == Transport.WEBPUSH and "." in whom:
        return lane & (Q(address__startswith=f"https://{whom}/") | Q(address__startswith=f"https://{whom}:"))
    if key.transport == Transport.FCM and whom:
        named = Q(installation__platform__in=fcm.PLATFORMS)
        return lane & (Q(installation__platform=whom) if whom in fcm.PLATFORMS else ~named)
    return lane


def _key(lane: Lane) -> lanes.Key:
    return lanes.Key(lane.app, lane.transport, lane.environment, lane.credential)
