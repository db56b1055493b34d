"""Housekeeping: what was not seen for long sleeps, then ends; what has ended is forgotten, then deleted.

    active, suspect ──30 days unseen──▶ stale            any live ──270 days unseen──▶ invalid (unseen)       daily
    ended ──30 days──▶ its address and keys are emptied, but not in quarantine                                daily
    invalid, unregistered ──90 days──▶ deleted                                                                weekly
    invalid: replaced ──180 days──▶ deleted, if its user has another live device of the transport             weekly
    installations without a device ──▶ deleted                                                                weekly

The numbers are settings (`DEVICES_…_DAYS`). Each batch is a transaction of its own, so nothing waits long for its
locks; a device that comes back in between is spared.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from notifications.devices import transitions
from notifications.models import Installation, PushDevice
from notifications.states import ENDED, LIVE, DeviceStatus, Reason

BATCH = 500
AWAKE = (DeviceStatus.ACTIVE, DeviceStatus.SUSPECT)
FORGOTTEN = {"address": "", "p256dh": "", "auth": ""}
"""The hash stays, so that the address is known again if it comes back."""


def daily(*, now: datetime) -> dict[str, int]:
    """What grows old; how many, by kind."""
    return {"ended": end_unseen(now=now), "stale": mark_stale(now=now), "forgotten": forget_addresses(now=now)}


def weekly(*, now: datetime) -> dict[str, int]:
    """What is deleted; how many, by kind."""
    return {
        "invalid": delete_ended(now=now),
        "replaced": delete_replaced(now=now),
        "installations": delete_empty_installations(now=now),
    }


def mark_stale(*, now: datetime) -> int:
    """Devices that were not seen for `DEVICES_STALE_DAYS`."""
    unseen = PushDevice.objects.filter(
        status__in=AWAKE, last_seen_at__lt=now - timedelta(days=settings.DEVICES_STALE_DAYS), quarantined_at=None
    )
    return _age(unseen, into=DeviceStatus.STALE, now=now)


def end_unseen(*, now: datetime) -> int:
    """Devices that were not seen for `DEVICES_UNSEEN_DAYS`: FCM itself gives up after 270."""
    unseen = PushDevice.objects.filter(
        status__in=LIVE, last_seen_at__lt=now - timedelta(days=settings.DEVICES_UNSEEN_DAYS), quarantined_at=None
    )
    return _age(unseen, into=DeviceStatus.INVALID, now=now)


def forget_addresses(*, now: datetime) -> int:
    """Empty addresses that nothing is sent to any more: they are personal data."""
    before = now - timedelta(days=settings.DEVICES_FORGET_DAYS)
    forgotten = 0
    for status in ENDED:
        rows = PushDevice.objects.filter(status=status, status_changed_at__lt=before, quarantined_at=None)
        for ids in _batches(rows.exclude(address="")):
            forgotten += rows.filter(pk__in=ids).update(**FORGOTTEN)
    return forgotten


def delete_ended(*, now: datetime) -> int:
    """Invalid and unregistered devices; replaced ones have a rule of their own."""
    before = now - timedelta(days=settings.DEVICES_INVALID_DAYS)
    gone = 0
    for status in ENDED:
        rows = PushDevice.objects.filter(status=status, status_changed_at__lt=before, quarantined_at=None)
        gone += _delete(rows.exclude(status_reason=Reason.REPLACED))
    return gone


def delete_replaced(*, now: datetime) -> int:
    """Replaced ones, if their user can be reached by the same transport without them."""
    before = now - timedelta(days=settings.DEVICES_REPLACED_DAYS)
    others = PushDevice.objects.filter(
        installation__user=OuterRef("installation__user"), transport=OuterRef("transport"), status__in=LIVE
    )
    rows = PushDevice.objects.filter(
        Exists(others),
        status=DeviceStatus.INVALID,
        status_reason=Reason.REPLACED,
        status_changed_at__lt=before,
        quarantined_at=None,
    )
    return _delete(rows)


def delete_empty_installations(*, now: datetime) -> int:
    """Installations that lost their last device, and were not seen since."""
    before = now - timedelta(days=settings.DEVICES_INVALID_DAYS)
    devices = PushDevice.objects.filter(installation=OuterRef("pk"))
    rows = Installation.objects.filter(~Exists(devices), last_seen_at__lt=before)
    gone = 0
    for ids in _batches(rows):
        with transaction.atomic():
            # A registration locks its installation first, and then this one waits and finds that it has a device.
            held = list(_locked(Installation.objects.filter(pk__in=ids)).values_list("pk", flat=True))
            gone += rows.filter(pk__in=held).delete()[1].get(Installation._meta.label, 0)
    return gone


def _age(rows: QuerySet[PushDevice], *, into: DeviceStatus, now: datetime) -> int:
    moved = 0
    for ids in _batches(rows):
        with transaction.atomic():
            moved += transitions.aged(devices=list(_locked(rows.filter(pk__in=ids))), into=into, now=now)
    return moved


def _delete(rows: QuerySet[PushDevice]) -> int:
    gone = 0
    for ids in _batches(rows):
        with transaction.atomic():
            # Judged again under the lock: it may have been registered again since.
            held = list(_locked(PushDevice.objects.filter(pk__in=ids)).values_list("pk", flat=True))
            gone += rows.filter(pk__in=held).delete()[1].get(PushDevice._meta.label, 0)
    return gone


def _batches[Row: (PushDevice, Installation)](rows: QuerySet[Row]) -> Iterator[list[int]]:
    """Ids of the rows in order of their keys; each batch is read when the one before it is done."""
    last = 0
    while ids := list(rows.filter(Q(pk__gt=last)).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        last = ids[-1]
        yield ids


def _locked[Row: (PushDevice, Installation)](rows: QuerySet[Row]) -> QuerySet[Row]:
    """Rows locked for this transaction, in order of their keys; who is busy is left for the next time."""
    rows = rows.order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        return rows.select_for_update(skip_locked=True, of=("self",))
    return rows
