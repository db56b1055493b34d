"""Housekeeping: what grows old, what is forgotten, what is deleted, and what never is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from notifications.devices import housekeeping, registration
from notifications.devices.formats import Given
from notifications.models import DeviceTransition, Installation, PushDelivery, PushDevice
from notifications.states import DeviceStatus
from tests.notifications.devices.world import NOW, person, register, token, told

pytestmark = pytest.mark.django_db


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.fixture
def anna() -> User:
    return person("anna")


def device(user: User, status: str, *, installation: str = "phone", **fields: Any) -> PushDevice:
    made = register(user, installation=installation).device
    PushDevice.objects.filter(pk=made.pk).update(status=status, **fields)
    Installation.objects.update(last_seen_at=ago(400))
    return PushDevice.objects.get(pk=made.pk)


def left() -> set[int]:
    return set(PushDevice.objects.values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("status", "days", "after"),
    [
        ("active", 29.9, "active"),
        ("active", 30.1, "stale"),
        ("suspect", 30.1, "stale"),
        ("pending", 30.1, "pending"),
        ("stale", 269.9, "stale"),
        ("stale", 270.1, "invalid"),
        ("active", 270.1, "invalid"),
        ("pending", 270.1, "invalid"),
        ("unregistered", 300, "unregistered"),
    ],
)
def test_what_is_unseen_sleeps_then_ends(anna: User, status: str, days: float, after: str):
    one = device(anna, status, last_seen_at=ago(days))
    housekeeping.daily(now=NOW)
    one.refresh_from_db()
    assert (one.status, one.status_reason) == (after, "unseen" if after == "invalid" else "")
    if status != after:
        assert told(one)[-1] == f"{status}→{after} unseen"
    assert not housekeeping.mark_stale(now=NOW) + housekeeping.end_unseen(now=NOW), "the second time nothing is left"


def test_the_numbers_are_settings(anna: User, settings: Settings):
    settings.DEVICES_STALE_DAYS, settings.DEVICES_UNSEEN_DAYS, settings.DEVICES_INVALID_DAYS = 1, 2, 3
    settings.DEVICES_FORGET_DAYS, settings.DEVICES_REPLACED_DAYS = 1, 2
    device(anna, "active", installation="a", last_seen_at=ago(1.5))
    device(anna, "stale", installation="b", last_seen_at=ago(2.5))
    device(anna, "unregistered", installation="c", status_changed_at=ago(2))
    device(anna, "invalid", installation="d", status_changed_at=ago(4))
    device(anna, "invalid", installation="e", status_changed_at=ago(2.5), status_reason="replaced")
    assert housekeeping.daily(now=NOW) == {"ended": 1, "stale": 1, "forgotten": 3}
    assert housekeeping.weekly(now=NOW) == {"invalid": 1, "replaced": 1, "installations": 2}


def test_an_ended_address_is_forgotten_and_still_known_when_it_comes_back(anna: User):
    given = Given(transport="fcm", address=token())
    one = register(anna, given).device
    registration.remove(device=one, reason="opted_out", now=ago(31))
    assert housekeeping.forget_addresses(now=NOW) == 1
    one.refresh_from_db()
    assert one.address == ""
    again = register(anna, given).device
    again.refresh_from_db()
    assert (again.pk, again.address, again.status) == (one.pk, given.address, "pending")


def test_invalid_and_unregistered_ones_go_after_90_days_with_their_timeline_and_leave_their_deliveries(anna: User):
    gone = [
        device(anna, "invalid", installation="a", status_changed_at=ago(90.1), status_reason="refused").pk,
        device(anna, "unregistered", installation="b", status_changed_at=ago(90.1)).pk,
    ]
    kept = {
        device(anna, "invalid", installation="c", status_changed_at=ago(89.9)).pk,
        device(anna, "invalid", installation="d", status_changed_at=ago(200), quarantined_at=ago(200)).pk,
        device(anna, "stale", installation="e", status_changed_at=ago(200)).pk,
    }
    assert housekeeping.delete_ended(now=NOW) == 2
    assert left() == kept
    assert not DeviceTransition.objects.filter(device__in=gone).exists()
    assert PushDelivery.objects.filter(device=None).count() == 2


def test_replaced_ones_go_after_180_days_and_only_if_the_user_has_another_live_device_of_the_transport(anna: User):
    old = {"status_changed_at": ago(180.1), "status_reason": "replaced"}
    one = device(anna, "invalid", installation="a", **old)
    assert housekeeping.delete_ended(now=NOW) == 0
    assert housekeeping.delete_replaced(now=NOW) == 0, "it is the last trace of how the user could be reached"
    device(person("bert"), "active", installation="b")
    register(anna, Given(transport="apns", address="ab" * 32), installation="c")
    assert housekeeping.delete_replaced(now=NOW) == 0, "neither another user's nor another transport's"
    live = device(anna, "active", installation="d")
    young = device(anna, "invalid", installation="e", status_changed_at=ago(179.9), status_reason="replaced")
    assert housekeeping.delete_replaced(now=NOW) == 1
    assert one.pk not in left()
    assert {live.pk, young.pk} <= left()


def test_installations_without_a_device_go_once_nobody_comes_back(anna: User):
    device(anna, "invalid", installation="a", status_changed_at=ago(100))
    housekeeping.weekly(now=NOW)
    assert not Installation.objects.exists()
    device(anna, "active", installation="b")
    fresh = Installation.objects.create(user=anna, installation_id="c", last_seen_at=ago(1))
    housekeeping.weekly(now=NOW)
    assert Installation.objects.count() == 2
    assert fresh in Installation.objects.all()


def test_more_than_a_batch(anna: User, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(housekeeping, "BATCH", 3)
    for number in range(8):
        device(anna, "active", installation=f"i{number}", last_seen_at=ago(40))
    assert housekeeping.mark_stale(now=NOW) == 8
    PushDevice.objects.update(status=DeviceStatus.INVALID, status_changed_at=ago(100))
    assert housekeeping.delete_ended(now=NOW) == 8
