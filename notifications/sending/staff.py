"""What staff do by hand: test a device, unregister it, resume a lane, judge a quarantine; each with a ledger entry."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import router, transaction

from notifications.devices import transitions
from notifications.models import Lane, PushDelivery, PushDevice
from notifications.sending import lanes, quarantine
from notifications.states import LIVE, Reason
from queues.desk import ledger
from queues.desk.operations import Actor, ReasonMissing
from queues.engine import enqueue, item, wake
from queues.engine.states import Priority

QUEUE = "push"
LEDGER = "devices"
"""Under which the ledger has devices and lanes; deliveries are the queue's."""
TEST_PAYLOAD = {"title": "A test", "body": "Staff check that this device gets our messages.", "url": "", "data": {}}
TEST_LASTS = timedelta(minutes=10)
TEST, UNREGISTER, RESUME = "notifications.test_device", "notifications.unregister_device", "notifications.resume_lane"


def test(*, device: PushDevice, actor: Actor, reason: str, now: datetime) -> int | None:
    """Enqueue a test push; its delivery's id, or None for an address that is not in use. Raises PermissionDenied."""
    _allowed(actor, TEST, reason)
    if device.status not in LIVE:
        return None
    push_id = uuid.uuid4()
    row = {
        "idempotency_key": item.fresh_key(),
        "priority": Priority.URGENT.value,
        "created_at": now,
        "due_at": now,
        "expires_at": now + TEST_LASTS,
        "device_id": device.pk,
        "user_id": device.installation.user_id,
        "purpose": PushDelivery.Purpose.TEST.value,
        "push_id": push_id,
        "payload": {
            "title": "A test",
            "body": "Staff check that this device gets our messages.",
            "url": "",
            "data": {},
        },
        "collapse_id": push_id.hex,
        "urgent": True,
    }
    with transaction.atomic(using=router.db_for_write(PushDelivery)):
        (entry,) = enqueue.insert(QUEUE, PushDelivery, [row])
        wake.soon(QUEUE)
        _record(actor, "test_device", f"{device} ({device.pk})", reason, now, [device.pk], delivery=entry.item_id)
    return entry.item_id


def unregister(*, device: PushDevice, actor: Actor, reason: str, now: datetime) -> bool:
    """Nothing is sent to it until its client registers again; False if its address was not in use."""
    _allowed(actor, UNREGISTER, reason)
    with transaction.atomic(using=router.db_for_write(PushDevice)):
        if not transitions.unregistered(device=device, reason=Reason.STAFF, now=now, words=reason):
            return False
        _record(actor, "unregister_device", f"{device} ({device.pk})", reason, now, [device.pk])
    return True


def resume(*, lane: Lane, actor: Actor, reason: str, now: datetime) -> bool:
    """Let one delivery try a stopped lane; False if it was not stopped."""
    _allowed(actor, RESUME, reason)
    with transaction.atomic(using=router.db_for_write(Lane)):
        if not lanes.resume(lane, now=now):
            return False
        _record(actor, "resume_lane", f"{lane} ({lane.pk}), stopped for: {lane.reason}", reason, now, [])
    return True


def restore(*, lane: Lane, actor: Actor, reason: str, now: datetime) -> quarantine.Judged:
    """The devices in quarantine are what they were before."""
    return _judge(quarantine.restore, "restore_quarantine", lane, actor, reason, now)


def release(*, lane: Lane, actor: Actor, reason: str, now: datetime) -> quarantine.Judged:
    """The devices in quarantine really are invalid."""
    return _judge(quarantine.release, "release_quarantine", lane, actor, reason, now)


def _judge(
    judge: Callable[..., quarantine.Judged], act: str, lane: Lane, actor: Actor, reason: str, now: datetime
) -> quarantine.Judged:
    _allowed(actor, RESUME, reason)
    with transaction.atomic(using=router.db_for_write(Lane)):
        judged = judge(lane, now=now, words=reason.strip())
        if judged.devices:
            _record(actor, act, f"{lane} ({lane.pk})", reason, now, judged.devices, left=judged.left)
    return judged


def may(user: Any, permission: str) -> bool:
    """Whether this active account has it."""
    return bool(user is not None and user.is_active and user.has_perm(permission))


def _allowed(actor: Actor, permission: str, reason: str) -> None:
    if not (may(actor.user, permission) or (actor.user is None and actor.name.startswith("shell:"))):
        raise PermissionDenied(f"{actor.name} lacks {permission}")
    if not reason.strip():
        raise ReasonMissing("it needs a reason")


def _record(actor: Actor, act: str, plan: str, reason: str, now: datetime, items: Sequence[int], **result: Any) -> None:
    ledger.record(
        act=act,
        actor=actor.user,
        actor_name=actor.name,
        queue=LEDGER,
        items=items,
        plan=plan,
        reason=reason.strip(),
        result=result,
        request_id=actor.request_id,
        now=now,
    )
