"""Deliver: one attempt at one push to one device. What a batch needs is loaded by `prepare`.

acknowledged already ──────────▶ ack
address gone, not wished ──────▶ cancel: suppressed          quiet hours, quarantine, new address unproven ─▶ snooze
lane stopped, breaker open ────▶ snooze: the clock stands still
sent ─▶ answer ─▶ `verdicts`: what it means for delivery, device and lane
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from django.utils import timezone

from notifications.devices import verification
from notifications.models import PushDelivery, PushDevice
from notifications.sending import acks, lanes, reach, verdicts, wishes
from notifications.states import DeviceStatus, Transport
from notifications.transports import carriers
from notifications.transports.answers import Address, Message
from queues.engine import breaker, spans
from queues.engine.item import QueueItem
from queues.engine.outcomes import Cancel, Permanent, Snooze
from queues.engine.registry import Done, Limit

Purpose = PushDelivery.Purpose

PROOF_WAIT = timedelta(seconds=5)
"""How long a delivery waits for a new address to be proven; after 36 s it is, or it is invalid."""
PROBE_WAIT = timedelta(seconds=2)
"""How long the others wait while one delivery probes a service whose breaker was open."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the deliveries of one claim need from the database; what its hands learn meanwhile."""

    devices: Mapping[int, PushDevice]
    preferences: wishes.Rows
    lanes: lanes.Rows
    breakers: breaker.Reading
    at: datetime
    """When it was claimed; the clock may have been put back since."""
    closed: dict[str, datetime] = field(default_factory=dict)
    """Services and lanes that were found closed since, so that the rest of the batch need not find out."""
    taken: deque[PushDevice] = field(default_factory=deque)
    """Healthy devices whose success is still to be written, many in one statement."""


def limits(item: QueueItem) -> Iterable[Limit]:
    """One unit of the user's allowance and one of the campaign's, each device counting; tests and proofs are free."""
    delivery = cast(PushDelivery, item)
    if delivery.purpose != Purpose.NOTIFY:
        return
    yield Limit("push.user", str(delivery.user_id))
    if delivery.campaign:
        yield Limit("push.campaign", delivery.campaign)


def prepare(items: Sequence[QueueItem], now: datetime) -> Batch:
    """Devices, preferences, lanes and breakers: one query each."""
    deliveries = cast(Sequence[PushDelivery], items)
    rows = PushDevice.objects.select_related("installation", "superseded_by__installation")
    devices = rows.in_bulk({each.device_id for each in deliveries if each.device_id is not None})
    known = [device for row in devices.values() for device in (row, row.superseded_by) if device is not None]
    return Batch(
        devices=devices,
        preferences=wishes.read(each.user_id for each in deliveries if each.user_id is not None),
        lanes=lanes.read(transports={device.transport for device in known}),
        breakers=breaker.read(names=_services(known, deliveries), now=now),
        at=now,
    )


def deliver(item: QueueItem, batch: Batch) -> Done:
    """Send it once. Raises the outcome when it was not taken."""
    delivery, now = cast(PushDelivery, item), _now(batch)
    if delivery.delivered_at is not None and delivery.attempts > 1:  # a replay of staff sends it again
        return Done(words="The device had acknowledged it.", fields={"accepted_at": delivery.accepted_at or now})
    if not delivery.payload and delivery.purpose != Purpose.VERIFY:
        raise Permanent("Its content was removed when its time was over: it cannot be sent again.", code="removed")
    device = _device(delivery, batch, now)
    if delivery.purpose == Purpose.NOTIFY:
        _wished(delivery, batch, now)
    carrier = carriers.get(device.transport)
    address = address_of(device)
    key = lanes.Key(device.app, device.transport, device.environment, carrier.credential(address))
    ways = (service(device), held(delivery, device))
    _may_go(key, ways, batch, now)
    with spans.span("send push", kind="client", transport=str(device.transport)):
        answer = carrier.send(message(delivery, device, now=now), address)
    attempt = verdicts.Attempt(delivery, device, key, *ways, batch.lanes, batch.breakers, batch.closed, batch.taken)
    return verdicts.judge(attempt, answer, now=_now(batch))


def message(delivery: PushDelivery, device: PushDevice, *, now: datetime) -> Message:
    """What is sent; equal at every attempt but for the time left."""
    ack_url = acks.url_for(delivery.pk)
    if delivery.purpose == Purpose.VERIFY:
        return verification.message(delivery=delivery, device=device, ack_url=ack_url)
    left = delivery.expires_at - now if delivery.expires_at is not None else timedelta(days=1)
    return Message(
        title=delivery.payload.get("title", ""),
        body=delivery.payload.get("body", ""),
        url=delivery.payload.get("url", ""),
        data=delivery.payload.get("data", {}),
        ack_url=ack_url,
        collapse_id=delivery.collapse_id,
        ttl=max(left, timedelta(seconds=1)),
        urgent=delivery.urgent,
    )


def address_of(device: PushDevice) -> Address:
    """Where it goes."""
    return Address(
        app=device.app,
        kind=device.address_kind,
        address=device.address,
        environment=device.environment,
        p256dh=device.p256dh,
        auth=device.auth,
        vapid_key_thumbprint=device.vapid_key_thumbprint,
        registered_at=device.registered_at,
        platform=device.installation.platform,
    )


def service(device: PushDevice) -> str:
    """The breaker of the push service that carries it; of Web Push there are many, so each origin has its own."""
    if device.transport == Transport.WEBPUSH:
        parts = urlsplit(device.address)
        return f"push {parts.scheme}://{parts.netloc}"[:200]
    return f"push {device.transport} {device.environment}"


def held(delivery: PushDelivery, device: PushDevice) -> str:
    """The breaker of a campaign (or single push) on one transport: what is refused as malformed is not sent on."""
    return f"push {device.transport} campaign {delivery.campaign or delivery.push_id}"


def _now(batch: Batch) -> datetime:
    return max(timezone.now(), batch.at)


def _device(delivery: PushDelivery, batch: Batch, now: datetime) -> PushDevice:
    """The address it goes to now. Raises Cancel or Snooze."""
    first = batch.devices.get(delivery.device_id or 0)
    if first is not None and first.quarantined_at is not None:
        words = "Its device is in quarantine until staff have judged."
        raise Snooze(words, until=now + lanes.LOOK_AGAIN, code="staff to judge its quarantine")
    device = reach.follow(first)
    if device is None:
        raise _suppressed("device")
    if device.installation.user_id != delivery.user_id:
        raise _suppressed("transferred")
    if device.status == DeviceStatus.PENDING and delivery.purpose == Purpose.NOTIFY:
        words = "Its device has a new address, which is not proven yet."
        raise Snooze(words, until=now + PROOF_WAIT, code="its new address to be proven")
    if device is not first:
        if delivery.purpose == Purpose.VERIFY:
            raise _suppressed("device")
        # From now on it is this one's: its acknowledgement and its answers are about the new address.
        now_its: dict[str, Any] = {"device": device}
        PushDelivery.objects.filter(pk=delivery.pk).update(**now_its)
    return device


def _wished(delivery: PushDelivery, batch: Batch, now: datetime) -> None:
    """Asked again, for the wish may have changed and a rate limit may have let it wait into the night."""
    wish = wishes.of(batch.preferences, user=delivery.user_id, category=delivery.kind)
    if not wish.wanted:
        raise _suppressed("preference")
    until = None if delivery.urgent else wishes.quiet_until(wish, at=now)
    if until is None:
        return
    if delivery.expires_at is not None and until >= delivery.expires_at:
        raise _suppressed("quiet_hours")
    raise Snooze("Its user's quiet hours.", until=until, code="the end of quiet hours")


def _may_go(key: lanes.Key, ways: Iterable[str], batch: Batch, now: datetime) -> None:
    """Raises Snooze while the lane is stopped or a breaker is open."""
    for name in (key.name, *ways):
        if (until := batch.closed.get(name)) is not None and until > now:
            raise Snooze("It was found closed a moment ago.", until=until, code=_closed(name, key))
    if (until := lanes.waits_until(key, batch.lanes, now=now)) is not None:
        raise Snooze("Its lane is stopped.", until=until, code=lanes.WAITING)
    for name in ways:
        until = batch.breakers.open_until.get(name)
        if until is None and name in batch.breakers.half_open:
            until = None if breaker.probing(name=name, now=now) else now + PROBE_WAIT
        if until is not None:
            raise Snooze("It failed repeatedly and is left alone.", until=until, code=_closed(name, key))


def _closed(name: str, key: lanes.Key) -> str:
    return lanes.WAITING if name == key.name else "breaker"


def _suppressed(reason: str) -> Cancel:
    return Cancel(reach.SUPPRESSED[reason], code=f"suppressed:{reason}")


def _services(devices: Sequence[PushDevice], deliveries: Sequence[PushDelivery]) -> set[str]:
    transports = {device.transport: device for device in devices}
    return {service(device) for device in devices} | {
        held(delivery, device) for delivery in deliveries for device in transports.values()
    }
