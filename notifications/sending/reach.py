"""Whom a push may reach: the devices of users, by their state, and where a delivery goes after an address changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from notifications.models import PushDelivery, PushDevice
from notifications.states import DeviceStatus
from queues.engine.states import Status

SUPPRESSED = {
    "preference": "Not sent: its user does not want this category.",
    "quiet_hours": "Not sent: its time is over before its user's quiet hours end.",
    "device": "Not sent: the address is not in use any more.",
    "transferred": "Not sent: the address belongs to another user now.",
}
"""Why a push is not sent, in words; the code of the row is `suppressed:<reason>`."""
SUSPECT_EVERY = timedelta(hours=1)
"""How often a campaign tries a device that failed lately."""
HOPS_MAX = 10
"""New addresses of one installation followed in one delivery."""

SENDABLE = (DeviceStatus.ACTIVE, DeviceStatus.SUSPECT, DeviceStatus.STALE)


def devices(*, users: Iterable[int], campaign: str, urgent: bool, now: datetime) -> Iterator[PushDevice]:
    """The devices a push may go to, with their installations; not the pending ones, which proved nothing yet."""
    rows = (
        PushDevice.objects.filter(installation__user__in=list(users), status__in=SENDABLE, quarantined_at__isnull=True)
        .filter(installation__user__is_active=True)
        .select_related("installation")
        .order_by("pk")
    )
    found = list(rows)
    spared: set[int] = set()
    if campaign and not urgent:
        found = [device for device in found if device.status != DeviceStatus.STALE]
        suspects = [device.pk for device in found if device.status == DeviceStatus.SUSPECT]
        spared = _tried_lately(suspects, now=now) if suspects else set()
    return (device for device in found if device.pk not in spared)


def follow(device: PushDevice | None) -> PushDevice | None:
    """The address that took this one's place, or itself; None if its end was no refresh."""
    for _ in range(HOPS_MAX):
        if device is None or device.status not in (DeviceStatus.INVALID, DeviceStatus.UNREGISTERED):
            return device
        newer = device.superseded_by
        device = newer if newer is not None and newer.installation_id == device.installation_id else None
    return None


def _tried_lately(suspects: list[int], *, now: datetime) -> set[int]:
    rows: Any = PushDelivery.objects
    recent = rows.filter(device__in=suspects, created_at__gt=now - SUSPECT_EVERY)
    return set(recent.exclude(status=Status.CANCELLED).values_list("device", flat=True))
