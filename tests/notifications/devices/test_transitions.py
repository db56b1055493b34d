"""Transitions: who may become what, exactly once, each with a line that says why."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from notifications.devices import transitions
from notifications.models import DeviceTransition, PushDevice
from notifications.states import LIVE, DeviceStatus
from notifications.transports.answers import Answer, Verdict
from tests.notifications.devices.world import NOW, person, register, told
from tests.queues.engine.threads import together

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
S = DeviceStatus
ANSWER = Answer(Verdict.INVALIDATE, status="410", reason="Unregistered\x00", words="The device is gone.")


@pytest.fixture
def anna() -> User:
    return person("anna")


def device(user: User, status: str = "active", *, installation: str = "phone", **fields: Any) -> PushDevice:
    made = register(user, installation=installation).device
    fields.setdefault("verified_at", NOW)
    PushDevice.objects.filter(pk=made.pk).update(status=status, **fields)
    DeviceTransition.objects.all().delete()
    return PushDevice.objects.get(pk=made.pk)


MOVES: dict[str, tuple[Callable[[PushDevice], Any], dict[str, str]]] = {
    "renewed": (
        lambda d: transitions.renewed(device=d, now=LATER),
        {S.INVALID: S.PENDING, S.UNREGISTERED: S.PENDING},
    ),
    "verified": (lambda d: transitions.verified(device=d, now=LATER), {S.PENDING: S.ACTIVE}),
    "seen": (lambda d: transitions.seen(device=d, now=LATER), {S.STALE: S.ACTIVE}),
    "confirmed": (lambda d: transitions.confirmed(device=d, now=LATER), {S.SUSPECT: S.ACTIVE, S.STALE: S.ACTIVE}),
    "suspected": (lambda d: transitions.suspected(device=d, now=LATER), {S.ACTIVE: S.SUSPECT}),
    "invalidated": (
        lambda d: transitions.invalidated(device=d, reason="refused", now=LATER),
        dict.fromkeys(LIVE, S.INVALID),
    ),
    "replaced": (lambda d: transitions.replaced(device=d, now=LATER), dict.fromkeys(LIVE, S.INVALID)),
    "unregistered": (
        lambda d: transitions.unregistered(device=d, reason="staff", now=LATER),
        dict.fromkeys(LIVE, S.UNREGISTERED),
    ),
    "aged, stale": (
        lambda d: transitions.aged(devices=[d], into=S.STALE, now=LATER),
        {S.ACTIVE: S.STALE, S.SUSPECT: S.STALE},
    ),
    "aged, ended": (lambda d: transitions.aged(devices=[d], into=S.INVALID, now=LATER), dict.fromkeys(LIVE, S.INVALID)),
}


@pytest.mark.parametrize("status", S.values)
@pytest.mark.parametrize("move", MOVES)
def test_who_may_become_what(anna: User, move: str, status: str):
    act, wanted = MOVES[move]
    one = device(anna, status)
    assert bool(act(one)) == (status in wanted)
    row = PushDevice.objects.get()
    assert row.status == one.status == wanted.get(S(status), status)
    lines = list(DeviceTransition.objects.values_list("before", "after", "at"))
    assert lines == ([(status, row.status, LATER)] if status in wanted else [])
    assert not act(PushDevice.objects.get()) or move == "never", "and only once"


def test_the_line_keeps_the_push_services_own_words(anna: User):
    one = device(anna)
    transitions.invalidated(device=one, reason="refused", now=LATER, answer=ANSWER, delivery_id=7)
    line = DeviceTransition.objects.get()
    assert (line.transport_status, line.transport_reason, line.words, line.delivery_id) == (
        "410",
        "Unregistered\N{REPLACEMENT CHARACTER}",
        "The device is gone.",
        7,
    )
    row = PushDevice.objects.get()
    assert (row.status_reason, row.status_changed_at) == ("refused", LATER)


def test_a_device_that_another_worker_moved_meanwhile_is_judged_by_its_new_state(anna: User):
    one = device(anna)
    stale_view = PushDevice.objects.get()
    transitions.suspected(device=one, now=NOW)
    assert transitions.invalidated(device=stale_view, reason="refused", now=LATER)
    assert told(one) == ["active→suspect suspected", "suspect→invalid refused"]
    assert not transitions.suspected(device=one, now=LATER)


def test_three_failures_in_a_row_make_it_suspect_and_a_success_forgives_them(anna: User):
    one = device(anna)
    assert [transitions.failed(device=one, now=NOW) for _ in range(2)] == [False, False]
    transitions.succeeded(devices=[one], now=NOW)
    one.refresh_from_db()
    assert (one.failure_count, one.last_successful_send_at) == (0, NOW)
    assert [transitions.failed(device=one, now=NOW) for _ in range(3)] == [False, False, True]
    assert PushDevice.objects.get().status_reason == "failing"
    transitions.succeeded(devices=[PushDevice.objects.get()], now=LATER)
    one.refresh_from_db()
    assert (one.status, one.failure_count, one.status_reason) == ("active", 0, "")


def test_successes_are_written_at_most_once_a_minute(anna: User, django_assert_num_queries: Any):
    devices = [device(anna, installation=f"i{number}") for number in range(5)]
    transitions.succeeded(devices=devices, now=NOW)
    assert set(PushDevice.objects.values_list("last_successful_send_at", flat=True)) == {NOW}
    fresh = list(PushDevice.objects.all())
    with django_assert_num_queries(0):
        transitions.succeeded(devices=fresh, now=NOW + timedelta(seconds=59))
    transitions.succeeded(devices=fresh, now=NOW + timedelta(seconds=60))
    assert set(PushDevice.objects.values_list("last_successful_send_at", flat=True)) == {NOW + timedelta(seconds=60)}
    assert not DeviceTransition.objects.exists()


def test_who_was_seen_in_the_last_moment_does_not_age(anna: User):
    one = device(anna)
    found = PushDevice.objects.get()
    transitions.seen(device=one, now=LATER)
    assert transitions.aged(devices=[found], into=S.STALE, now=LATER) == 0
    assert PushDevice.objects.get().status == "active"


# --- Quarantine -----------------------------------------------------------------------------------------------------


def test_a_quarantined_device_is_not_judged_until_staff_have(anna: User):
    one = device(anna)
    assert transitions.quarantined(devices=[one], now=NOW) == 1
    assert transitions.quarantined(devices=[one], now=NOW) == 0
    assert not transitions.invalidated(device=one, reason="refused", now=LATER)
    assert transitions.restored(device=one, now=LATER, words="They were fine.")
    row = PushDevice.objects.get()
    assert (row.status, row.quarantined_at) == ("active", None)
    assert told(one) == ["active→active quarantined", "active→active restored"]
    assert not transitions.restored(device=one, now=LATER)


@pytest.mark.parametrize(("verified_at", "back"), [(NOW, "active"), (None, "pending")])
def test_what_had_become_invalid_is_restored_to_what_it_was(anna: User, verified_at: Any, back: str):
    one = device(anna, "invalid", verified_at=verified_at)
    transitions.quarantined(devices=[one], now=NOW)
    assert transitions.restored(device=one, now=LATER)
    row = PushDevice.objects.get()
    assert (row.status, row.status_reason) == (back, "restored")


def test_who_has_a_successor_stays_invalid(anna: User):
    one = device(anna, "invalid")
    transitions.quarantined(devices=[one], now=NOW)
    newer = register(anna).device
    assert not transitions.restored(device=one, now=LATER)
    assert list(PushDevice.objects.filter(status__in=LIVE)) == [newer]
    assert PushDevice.objects.get(pk=one.pk).quarantined_at is None


def test_released_lets_it_become_invalid(anna: User):
    alive, dead = device(anna), device(anna, "invalid", installation="other")
    for one in (alive, dead):
        transitions.quarantined(devices=[one], now=NOW)
        assert transitions.released(device=one, now=LATER)
        assert not transitions.released(device=one, now=LATER)
    assert set(PushDevice.objects.values_list("status", "quarantined_at")) == {("invalid", None)}


# --- Many at once ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_many_who_end_a_device_at_once_one_does(anna: User):
    views = [device(anna) for _ in range(1)] + [PushDevice.objects.get() for _ in range(7)]
    jobs = [
        functools.partial(transitions.invalidated, device=view, reason="refused", now=LATER)
        if number % 2
        else functools.partial(transitions.unregistered, device=view, reason="staff", now=LATER)
        for number, view in enumerate(views)
    ]
    assert sorted(together(*jobs)) == [False] * 7 + [True]
    assert DeviceTransition.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_note_successes_of_the_same_devices_do_not_deadlock(anna: User):
    devices = [device(anna, installation=f"i{number}", failure_count=1) for number in range(20)]
    orders = itertools.cycle([devices, devices[::-1]])
    together(*(functools.partial(transitions.succeeded, devices=next(orders), now=NOW) for _ in range(8)))
    assert set(PushDevice.objects.values_list("failure_count", flat=True)) == {0}
