"""The one place that writes a device's status, failure count and quarantine, with a `DeviceTransition` for each change.

Every function is a compare-and-set in the caller's transaction: it says True if the device was moved by this very call,
and changes the instance it was given too. A device that somebody else moved meanwhile is judged by its new state.

    registered   – → pending                        suspected, failed   active → suspect
    renewed      ended → pending                    confirmed           suspect, stale → active
    verified     pending → active                   seen                stale → active
    replaced, transferred, invalidated   live → invalid      unregistered        live → unregistered
    quarantined ▶ restored (back to what it was) | released (let it become invalid)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F

from notifications.models import DeviceTransition, Installation, PushDevice
from notifications.states import ENDED, LIVE, DeviceStatus, Reason
from notifications.transports.answers import Answer
from queues.engine.outcomes import clean

FAILURES_MAX = 3
"""Failed deliveries in a row that make a device suspect."""
SUCCESS_EVERY = timedelta(minutes=1)
"""`last_successful_send_at` is no older than this: a write for each of 10,000 deliveries a minute tells nobody more."""
WORDS_MAX = 2000
TRIES = 5


def registered(*, device: PushDevice, now: datetime) -> None:
    """A row was just made for a new address."""
    note(device=device, cause="registered", now=now, before="")


def renewed(*, device: PushDevice, now: datetime, **fields: Any) -> bool:
    """An ended address was registered again: pending, never silently active."""
    return _move(device, DeviceStatus.PENDING, "registered again", now, out_of=ENDED, **fields)


def verified(
    *, device: PushDevice, now: datetime, answer: Answer | None = None, delivery_id: int | None = None
) -> bool:
    """A test push was accepted, or the device echoed its nonce."""
    return _move(
        device,
        DeviceStatus.ACTIVE,
        "verified",
        now,
        out_of=(DeviceStatus.PENDING,),
        answer=answer,
        delivery_id=delivery_id,
        verified_at=now,
        failure_count=0,
        proof_seed="",
        proof_asked_at=None,
    )


def seen(*, device: PushDevice, now: datetime) -> bool:
    """Its client came back. True if it had been stale."""
    PushDevice.objects.filter(pk=device.pk).update(last_seen_at=now)
    device.last_seen_at = now
    return _move(device, DeviceStatus.ACTIVE, "seen", now, out_of=(DeviceStatus.STALE,))


def succeeded(*, devices: Sequence[PushDevice], now: datetime) -> None:
    """The push service took a push for each of these. Writes only what says something new (`SUCCESS_EVERY`)."""
    plain = []
    for device in devices:
        if device.status == DeviceStatus.SUSPECT:
            _move(
                device,
                DeviceStatus.ACTIVE,
                "accepted again",
                now,
                out_of=(DeviceStatus.SUSPECT,),
                failure_count=0,
                last_successful_send_at=now,
            )
        elif device.failure_count or _is_old(device.last_successful_send_at, now):
            plain.append(device)
    if plain:
        # One lock order for all workers, and nobody waits to write a time that its holder writes too.
        rows = PushDevice.objects.filter(pk__in=[device.pk for device in plain]).order_by("pk")
        with transaction.atomic():
            if connection.features.has_select_for_update_skip_locked:
                rows = rows.select_for_update(skip_locked=True, of=("self",))
            held = list(rows.values_list("pk", flat=True))
            PushDevice.objects.filter(pk__in=held).update(last_successful_send_at=now, failure_count=0)


def confirmed(*, device: PushDevice, now: datetime, delivery_id: int | None = None) -> bool:
    """The device itself acknowledged a push: it lives, whatever was thought of it. True if its state changed."""
    if _is_old(device.last_confirmed_at, now) or device.failure_count:
        changes: dict[str, Any] = {"last_confirmed_at": now, "last_seen_at": now, "failure_count": 0}
        PushDevice.objects.filter(pk=device.pk).update(**changes)
        _set(device, changes)
    weak = (DeviceStatus.SUSPECT, DeviceStatus.STALE)
    return _move(device, DeviceStatus.ACTIVE, "confirmed", now, out_of=weak, delivery_id=delivery_id)


def moved(*, device: PushDevice, environment: str, now: datetime) -> bool:
    """Its token belongs to the provider's other environment. False if that one has a row for it already."""
    there = PushDevice.objects.filter(
        app=device.app, transport=device.transport, environment=environment, address_sha256=device.address_sha256
    )
    if there.exists() or not PushDevice.objects.filter(pk=device.pk).update(environment=environment):
        return False
    _set(device, {"environment": environment})
    note(device=device, cause="other environment", now=now, words=f"It belongs to {environment}.")
    return True


def failed(*, device: PushDevice, now: datetime, answer: Answer | None = None, delivery_id: int | None = None) -> bool:
    """A delivery to it failed, and nothing says that the address is wrong. True if this one made it suspect."""
    PushDevice.objects.filter(pk=device.pk).update(failure_count=F("failure_count") + 1)
    device.failure_count = PushDevice.objects.values_list("failure_count", flat=True).get(pk=device.pk)
    if device.failure_count < FAILURES_MAX:
        return False
    return suspected(device=device, reason=Reason.FAILING, now=now, answer=answer, delivery_id=delivery_id)


def suspected(
    *, device: PushDevice, now: datetime, reason: str = "", answer: Answer | None = None, delivery_id: int | None = None
) -> bool:
    """The push service's answer speaks against it without proof (`Verdict.SUSPECT`)."""
    return _move(
        device,
        DeviceStatus.SUSPECT,
        "suspected",
        now,
        out_of=(DeviceStatus.ACTIVE,),
        reason=reason or (answer.device_reason if answer else ""),
        answer=answer,
        delivery_id=delivery_id,
    )


def invalidated(
    *,
    device: PushDevice,
    reason: str,
    now: datetime,
    answer: Answer | None = None,
    delivery_id: int | None = None,
    cause: str = "refused",
    words: str = "",
) -> bool:
    """The address is dead (`Verdict.INVALIDATE`). A quarantined one stays as it is until staff have judged."""
    return _move(
        device,
        DeviceStatus.INVALID,
        cause,
        now,
        reason=reason,
        answer=answer,
        delivery_id=delivery_id,
        words=words,
        spare_quarantined=True,
    )


def replaced(*, device: PushDevice, now: datetime) -> bool:
    """A newer address of its installation takes its place; the caller sets `superseded_by` once that has a row."""
    return _move(device, DeviceStatus.INVALID, "replaced", now, reason=Reason.REPLACED)


def transferred(*, device: PushDevice, to: PushDevice, now: datetime) -> None:
    """Another user proved to hold the address: it is emptied here, and `to` may be its row from now on."""
    emptied: dict[str, Any] = {"address": "", "p256dh": "", "auth": "", "address_sha256": f"transferred:{device.pk}"}
    emptied |= {"superseded_by_id": to.pk, "quarantined_at": None}
    PushDevice.objects.filter(pk=device.pk).update(**emptied)
    _set(device, emptied)
    if not _move(device, DeviceStatus.INVALID, "transferred", now, reason=Reason.TRANSFERRED):
        note(device=device, cause="transferred", now=now)


def unregistered(*, device: PushDevice, reason: str, now: datetime, words: str = "") -> bool:
    """Logged out, switched off by its user, or unregistered by staff."""
    return _move(device, DeviceStatus.UNREGISTERED, "unregistered", now, reason=reason, words=words)


def aged(*, devices: Sequence[PushDevice], into: DeviceStatus, now: datetime) -> int:
    """Not seen for too long: stale, later invalid. Return how many were moved; who was just seen is not."""
    out_of = (DeviceStatus.ACTIVE, DeviceStatus.SUSPECT) if into == DeviceStatus.STALE else LIVE
    moved = 0
    for device in devices:
        moved += _move(
            device,
            into,
            "unseen",
            now,
            out_of=out_of,
            reason=Reason.UNSEEN if into == DeviceStatus.INVALID else "",
            unseen_since=device.last_seen_at,
        )
    return moved


def quarantined(*, devices: Sequence[PushDevice], now: datetime, words: str = "") -> int:
    """Hold them back: nothing is sent, nothing is judged. Also those that became invalid a moment ago."""
    held = 0
    with transaction.atomic():
        for device in sorted(devices, key=lambda each: each.pk):
            if PushDevice.objects.filter(pk=device.pk, quarantined_at=None).update(quarantined_at=now):
                device.quarantined_at = now
                note(device=device, cause="quarantined", now=now, words=words)
                held += 1
    return held


def restored(*, device: PushDevice, now: datetime, words: str = "") -> bool:
    """Staff: it was healthy. Back to what it was; one that has a successor by now stays invalid. True if it lives."""
    with transaction.atomic():
        # Registrations of the installation wait, so that none makes a second live address meanwhile.
        Installation.objects.select_for_update().get(pk=device.installation_id)
        if not _freed(device, "restored", now, words):
            return False
        others = PushDevice.objects.filter(
            installation_id=device.installation_id, transport=device.transport, status__in=LIVE
        )
        if device.status != DeviceStatus.INVALID or others.exclude(pk=device.pk).exists():
            return device.status in LIVE
        back = DeviceStatus.ACTIVE if device.verified_at else DeviceStatus.PENDING
        return _move(device, back, "restored", now, out_of=ENDED, reason=Reason.RESTORED, failure_count=0, words=words)


def released(*, device: PushDevice, now: datetime, words: str = "") -> bool:
    """Staff: the push service was right. What the quarantine held back happens. True if it is invalid now."""
    with transaction.atomic():
        if not _freed(device, "released", now, words):
            return False
        _move(device, DeviceStatus.INVALID, "released", now, reason=Reason.REFUSED, words=words)
        return device.status == DeviceStatus.INVALID


def note(
    *,
    device: PushDevice,
    cause: str,
    now: datetime,
    before: str | None = None,
    answer: Answer | None = None,
    delivery_id: int | None = None,
    words: str = "",
) -> None:
    """A line of the timeline. Without `before` the state did not change."""
    DeviceTransition.objects.create(
        device_id=device.pk,
        at=now,
        before=device.status if before is None else before,
        after=device.status,
        cause=cause,
        transport_status=clean(answer.status[:10]) if answer else "",
        transport_reason=clean(answer.reason[:100]) if answer else "",
        words=clean((words or (answer.words if answer else ""))[:WORDS_MAX]),
        delivery_id=delivery_id,
    )


def _move(
    device: PushDevice,
    into: DeviceStatus,
    cause: str,
    now: datetime,
    *,
    out_of: Sequence[str] = LIVE,
    reason: str = "",
    answer: Answer | None = None,
    delivery_id: int | None = None,
    words: str = "",
    spare_quarantined: bool = False,
    unseen_since: datetime | None = None,
    **fields: Any,
) -> bool:
    """From any of `out_of` into one state, and the line that says so, together or not at all."""
    for _ in range(TRIES):
        before = device.status
        if before not in out_of:
            return False
        rows = PushDevice.objects.filter(pk=device.pk, status=before)
        if spare_quarantined:
            rows = rows.filter(quarantined_at=None)
        if unseen_since:
            rows = rows.filter(last_seen_at__lte=unseen_since)
        changes = {"status": into.value, "status_reason": reason, "status_changed_at": now, **fields}
        with transaction.atomic():
            if rows.update(**changes):
                _set(device, changes)
                note(
                    device=device,
                    cause=cause,
                    now=now,
                    before=before,
                    answer=answer,
                    delivery_id=delivery_id,
                    words=words,
                )
                return True
        current = PushDevice.objects.filter(pk=device.pk).values_list("status", flat=True).first()
        if current is None or current == before:
            return False
        device.status = current
    return False


def _freed(device: PushDevice, cause: str, now: datetime, words: str) -> bool:
    held = PushDevice.objects.filter(pk=device.pk, quarantined_at__isnull=False)
    if not held.update(quarantined_at=None):
        return False
    device.refresh_from_db(fields=["status", "status_reason", "quarantined_at", "verified_at", "failure_count"])
    note(device=device, cause=cause, now=now, words=words)
    return True


def _is_old(at: datetime | None, now: datetime) -> bool:
    return at is None or now - at >= SUCCESS_EVERY


def _set(device: PushDevice, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(device, name, value)
