"""Verification: a pending address is proven by a test push, and where the transport has an echo, by the device itself.

    registered ─▶ begin ─▶ a delivery with purpose `verify` in the push queue, tried by that queue's schedule
        accepted, no echo possible (FCM dry run, APNs) ─▶ active
        accepted, echo expected (Web Push, and every claim of another user's address) ─▶ pending until the nonce is back
            `echoed` (POST /api/v1/devices/<id>/verify/) or `acknowledged` (the signed link in the push) ─▶ active
        refused ─▶ invalid at once        schedule used up by retryable answers ─▶ invalid: verification_failed
        our own fault, unknown answer, lane stopped ─▶ stays pending; no device is harmed

The nonce is derived from a seed in the row and SECRET_KEY, so no table holds one that could be echoed.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.crypto import constant_time_compare, salted_hmac

from notifications.devices import transitions
from notifications.models import PushDelivery, PushDevice
from notifications.states import DeviceStatus, Reason, Transport
from notifications.transports.answers import Answer, Message, Verdict
from queues.engine import enqueue, wake
from queues.engine.states import WAITING, Priority, Status

QUEUE = "push"
RETRY_AFTER_SECONDS = (1, 5, 30)
"""The push queue's own schedule, told to clients; a test holds the two together."""
TTL = timedelta(hours=1)
"""How long the push service keeps the test push for a device that is off."""
PROOF_HOLDS = timedelta(days=1)
"""How long a nonce can be echoed."""
TRIES = 20
"""Claims of one address that may be proven in the same moment."""
AGAIN_AFTER = timedelta(minutes=10)
"""When a pending device that registers again is asked again."""
WELCOME: dict[str, Any] = {
    "title": "Notifications are on",
    "body": "This device gets our messages from now on.",
    "url": "/devices/",
    "data": {},
}


def needs_echo(device: PushDevice) -> bool:
    """Whether acceptance is not enough: the transport can carry a nonce to the device, or somebody else's it may be."""
    return device.claims or device.transport == Transport.WEBPUSH


def begin(*, device: PushDevice, now: datetime) -> bool:
    """Enqueue the test push of a pending device in the caller's transaction; False if one is on its way already."""
    if device.status != DeviceStatus.PENDING:
        return False
    if device.proof_asked_at and (now - device.proof_asked_at < AGAIN_AFTER or _on_its_way(device)):
        return False
    changes = seed(now=now)
    PushDevice.objects.filter(pk=device.pk).update(**changes)
    device.proof_seed, device.proof_asked_at = changes["proof_seed"], now
    ask(device=device, now=now)
    return True


def seed(*, now: datetime) -> dict[str, Any]:
    """The columns of a device that is asked at `now`."""
    return {"proof_seed": secrets.token_hex(16), "proof_asked_at": now}


def ask(*, device: PushDevice, now: datetime) -> None:
    """Enqueue the test push of a device that has its seed."""
    row = {
        "idempotency_key": _key(device),
        "kind": "",
        "priority": Priority.HIGH.value,
        "created_at": now,
        "due_at": now,
        "device_id": device.pk,
        "user_id": device.installation.user_id,
        "purpose": PushDelivery.Purpose.VERIFY.value,
        "push_id": uuid.uuid4(),
        "payload": WELCOME,
        "collapse_id": f"verify-{device.pk}",
    }
    enqueue.insert(QUEUE, PushDelivery, [row])
    wake.soon(QUEUE)


def message(*, delivery: PushDelivery, device: PushDevice, ack_url: str) -> Message:
    """What a delivery with purpose `verify` says. Nothing is shown where the transport can be silent."""
    echo = needs_echo(device)
    words = delivery.payload or WELCOME
    return Message(
        title=words["title"],
        body=words["body"],
        url=words["url"],
        data={"device": str(device.pk), "nonce": nonce(device)} if echo else {},
        ack_url=ack_url if echo else "",
        collapse_id=delivery.collapse_id,
        ttl=TTL,
        silent=device.transport != Transport.WEBPUSH,
        dry_run=device.transport == Transport.FCM and not echo,
    )


def nonce(device: PushDevice) -> str:
    """What this device has to echo; "" if it was not asked."""
    if not device.proof_seed:
        return ""
    return salted_hmac("notifications.proof", f"{device.pk}:{device.proof_seed}", algorithm="sha256").hexdigest()[:32]


def passed(*, delivery: PushDelivery, device: PushDevice, answer: Answer, now: datetime) -> None:
    """The push service took the test push (`Verdict.ACCEPTED`): call it in the transaction of the ack."""
    if needs_echo(device):
        transitions.note(device=device, cause="asked", now=now, answer=answer, delivery_id=delivery.pk)
    else:
        transitions.verified(device=device, now=now, answer=answer, delivery_id=delivery.pk)


def failed(*, delivery: PushDelivery, device: PushDevice, answer: Answer | None, now: datetime) -> None:
    """The test push has ended without being taken: call it together with its dead letter. Only a pending device
    is judged, and only by an answer that is about it.
    """
    if device.status != DeviceStatus.PENDING:
        return
    verdict = answer.verdict if answer else None
    if verdict == Verdict.INVALIDATE and answer:
        reason = answer.device_reason or Reason.REFUSED
        transitions.invalidated(device=device, reason=reason, now=now, answer=answer, delivery_id=delivery.pk)
    elif verdict in (Verdict.RETRY, Verdict.UNCERTAIN):
        transitions.invalidated(
            device=device,
            reason=Reason.VERIFICATION_FAILED,
            now=now,
            answer=answer,
            delivery_id=delivery.pk,
            cause="not verified",
        )
    else:  # our fault, an answer nobody knows, or staff: the device did nothing
        transitions.note(device=device, cause="not verified", now=now, answer=answer, delivery_id=delivery.pk)


def echoed(*, device: PushDevice, given: str, now: datetime) -> bool:
    """The device sends back a nonce. True if it is the right one, in time, and the device is active now."""
    wanted = nonce(device)
    return bool(wanted) and constant_time_compare(wanted, given) and _prove(device, now, None)


def acknowledged(*, delivery: PushDelivery, now: datetime) -> bool:
    """The signed link of a test push was called, which only its receiver knows: as good as its nonce."""
    device = delivery.device
    if device is None or not device.proof_seed or delivery.idempotency_key != _key(device):
        return False
    return _prove(device, now, delivery.pk)


def _prove(device: PushDevice, now: datetime, delivery_id: int | None) -> bool:
    """Make it active; if it claims another user's address, that one ends in the same transaction."""
    if device.proof_asked_at is None or now - device.proof_asked_at > PROOF_HOLDS:
        return False
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                return _proven(device, now, delivery_id)
        except IntegrityError:
            continue  # while we waited for the holder's row, another claim was proven: now that one is the holder
    return False


def _proven(device: PushDevice, now: datetime, delivery_id: int | None) -> bool:
    same = Q(
        app=device.app,
        transport=device.transport,
        environment=device.environment,
        address_sha256=device.address_sha256,
        claims=False,
    )
    rows = PushDevice.objects.select_for_update(of=("self",)).filter(Q(pk=device.pk) | same).order_by("pk")
    locked = {row.pk: row for row in rows}
    mine = locked.pop(device.pk, None)
    if mine is None or mine.status != DeviceStatus.PENDING or mine.proof_seed != device.proof_seed:
        return False
    for holder in locked.values():
        transitions.transferred(device=holder, to=mine, now=now)
    changes = {"claims": False, "last_confirmed_at": now, "last_seen_at": now}
    PushDevice.objects.filter(pk=mine.pk).update(**changes)
    device.claims, device.last_confirmed_at, device.last_seen_at = False, now, now
    return transitions.verified(device=device, now=now, delivery_id=delivery_id)


def _on_its_way(device: PushDevice) -> bool:
    waits = PushDelivery.objects.filter(device=device, idempotency_key=_key(device), hidden_at=None)
    return waits.filter(status__in=(*WAITING, Status.PROCESSING)).exists()


def _key(device: PushDevice) -> str:
    return f"verify:{device.pk}:{device.proof_seed}"
