"""The mass-invalidation breaker: no healthy device is lost to a mistake of ours, and staff have the last word."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import transaction
from django.utils import timezone

from notifications import push
from notifications.models import DeviceTransition, Lane, PushDelivery, PushDevice
from notifications.sending import lanes, quarantine
from notifications.states import DeviceStatus
from queues.engine.states import Status
from tests.notifications.sending.world import ACCEPTED, DEAD, Service, by_status, device, drain, many

pytestmark = pytest.mark.django_db(transaction=True)


def notify(devices: list[PushDevice]) -> push.Pushed:
    return push.notify(users=[each.installation.user_id for each in devices], title="Doors open")


def states() -> dict[str, int]:
    found: dict[str, int] = {}
    for status, held in PushDevice.objects.values_list("status", "quarantined_at"):
        word = "quarantined" if held else status
        found[word] = found.get(word, 0) + 1
    return found


def all_dead(service: Service) -> None:
    service.answer = lambda message, address: DEAD


def test_below_the_threshold_devices_become_invalid_as_they_should(service: Service):
    devices = many(19)
    notify(devices)
    all_dead(service)
    drain()
    assert states() == {"invalid": 19}, "fewer than 20 are everyday life"
    assert not Lane.objects.exclude(state="open").exists()


def test_twenty_of_four_hundred_are_not_more_than_five_per_cent_and_one_more_is(service: Service):
    many(380)
    devices = many(21)
    all_dead(service)
    notify(devices[:20])
    drain()
    assert states() == {"active": 381, "invalid": 20}, "20 of 401"
    notify(devices[20:])
    drain()
    assert states() == {"active": 380, "quarantined": 21}, "21 of 401"


def test_another_lanes_dead_do_not_count_nor_those_of_ten_minutes_ago_nor_new_addresses(service: Service):
    long_ago = timezone.now() - timedelta(minutes=11)
    many(30, status=DeviceStatus.INVALID, status_reason="refused", status_changed_at=long_ago)
    many(30, transport="apns", status=DeviceStatus.INVALID, status_reason="refused")
    many(30, status=DeviceStatus.INVALID, status_reason="refused", verified_at=None)
    many(30, status=DeviceStatus.INVALID, status_reason="replaced")
    one = device()
    notify([one])
    all_dead(service)
    drain()
    one.refresh_from_db()
    assert (one.status, one.quarantined_at) == (DeviceStatus.INVALID, None)


def tripped(service: Service) -> tuple[list[PushDevice], Lane]:
    """40 devices of which our own mistake "killed" some; the rest of their pushes wait."""
    devices = many(40)
    notify(devices)
    all_dead(service)
    drain()
    return devices, Lane.objects.get(state="stopped")


def test_a_wave_is_quarantined_the_lane_stops_and_nothing_more_is_sent(
    service: Service, caplog: pytest.LogCaptureFixture
):
    _devices, lane = tripped(service)
    assert lane.reason == "mass invalidation"
    found = states()
    assert set(found) == {"quarantined", "active"}
    assert 20 <= found["quarantined"] <= 20 + 10, "the ten hands were at it"
    assert by_status()["retrying"] == found["active"]
    before = len(service.sent)
    drain(after=timedelta(seconds=61))
    assert len(service.sent) == before
    told = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
    assert "push.mass_invalidation" in told
    assert DeviceTransition.objects.filter(cause="quarantined").count() == found["quarantined"]


def test_restored_they_are_what_they_were_and_the_lane_is_tried_again(service: Service):
    devices, lane = tripped(service)
    service.answer = lambda message, address: ACCEPTED
    held = quarantine.held(lane).count()
    with transaction.atomic():
        judged = quarantine.restore(lane, now=timezone.now(), words="our key was wrong")
    assert (len(judged.devices), judged.left) == (held, 0)
    assert states() == {"active": 40}
    for later in (62, 124, 190):
        drain(after=timedelta(seconds=later))
    lane.refresh_from_db()
    assert lane.state == "open"
    assert PushDelivery.objects.filter(status=Status.SUCCEEDED).count() == 40 - held
    notify(devices)
    assert PushDelivery.objects.filter(status=Status.PENDING).count() == 40, "all of them are sent to again"


def test_released_they_are_invalid_and_do_not_trip_it_again(service: Service):
    _devices, lane = tripped(service)
    held = quarantine.held(lane).count()
    with transaction.atomic():
        quarantine.release(lane, now=timezone.now(), words="the app was withdrawn")
    assert states() == {"invalid": held, "active": 40 - held}
    one = device()
    notify([one])
    Lane.objects.update(until=timezone.now() - timedelta(seconds=1))
    only_one = one.address
    service.answer = lambda message, address: DEAD if address.address == only_one else ACCEPTED
    for later in (62, 124, 190):
        drain(after=timedelta(seconds=later))
    one.refresh_from_db()
    assert (one.status, one.quarantined_at) == (DeviceStatus.INVALID, None)
    lane.refresh_from_db()
    assert lane.state == "open"


def test_who_registered_anew_meanwhile_keeps_the_new_address(service: Service):
    _devices, lane = tripped(service)
    old = quarantine.held(lane)[0]
    device(installation=old.installation)
    with transaction.atomic():
        quarantine.restore(lane, now=timezone.now(), words="ours")
    old.refresh_from_db()
    assert (old.status, old.quarantined_at) == (DeviceStatus.INVALID, None)
    live = PushDevice.objects.filter(installation=old.installation, status__in=("active", "pending"))
    assert live.count() == 1


def test_a_lane_is_one_host_of_web_push_and_one_platform_behind_fcm(service: Service):
    """25 of one browser maker's are few of all browsers, and all of that lane."""
    service.credential = lambda address: f"k@{urlsplit(address.address).hostname or address.platform or 'any'}"  # type: ignore[method-assign]
    many(600, transport="webpush", address="https://big.example/x")
    small = [device(transport="webpush", address=f"https://small.example/{n}") for n in range(25)]
    notify(small)
    all_dead(service)
    drain()
    lane = Lane.objects.get(state="stopped")
    assert lane.credential == "k@small.example"
    assert quarantine.held(lane).count() >= 20
    others = lanes.Key("default", "webpush", "production", "k@big.example")
    assert lanes.waits_until(others, lanes.read(transports=["webpush"]), now=timezone.now()) is None
    many(30, status="invalid", status_reason="refused", quarantined_at=timezone.now())
    parts = {"app": "default", "transport": "fcm", "environment": "production"}
    ios, other = (Lane(**parts, credential=f"k@{whom}") for whom in ("ios", "any"))
    assert (quarantine.held(ios).count(), quarantine.held(other).count()) == (0, 30)


@pytest.mark.parametrize("fault", ["fault", "stop", "retry", "uncertain", "unknown"])
def test_no_answer_but_a_refusal_harms_any_device(service: Service, fault: str):
    from notifications.transports.answers import Verdict

    notify(many(25))
    service.say(Verdict(fault), status="400" if fault == "fault" else "500", reason="ours")
    drain()
    drain(after=timedelta(seconds=2))
    assert states() == {"active": 25}
