"""Verification: a pending address is proven, refused, or given up after 1, 5 and 30 s; nothing else ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone

from notifications import queue
from notifications.devices import transitions, verification
from notifications.devices.formats import Given
from notifications.models import Lane, PushDelivery, PushDevice
from notifications.sending import acks
from notifications.transports.answers import Verdict
from queues.engine.states import Status
from tests.notifications.devices.world import NOW, person, register, subscription, token, told
from tests.notifications.sending.world import Service, drain

pytestmark = pytest.mark.django_db(transaction=True)  # a drain works in threads


@pytest.fixture
def anna() -> User:
    return person("anna")


@pytest.fixture(autouse=True)
def _clock() -> Any:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def pending(user: User, transport: str = "fcm", now: Any = NOW) -> PushDevice:
    address = {"fcm": {"address": token()}, "apns": {"address": "ab" * 32}, "webpush": subscription()}[transport]
    return register(user, Given(transport=transport, **address), now=now).device


def again(device: PushDevice) -> PushDevice:
    return PushDevice.objects.select_related("installation").get(pk=device.pk)


def test_the_schedule_told_to_clients_is_the_queues_own():
    assert list(queue.POLICY.delays) == list(verification.RETRY_AFTER_SECONDS)
    assert queue.PUSH.name == verification.QUEUE


@pytest.mark.parametrize("transport", ["fcm", "apns"])
def test_accepted_is_enough_where_nothing_can_come_back(anna: User, service: Service, transport: str):
    device = pending(anna, transport)
    drain()
    (message,) = service.messages
    assert (message.silent, message.dry_run, message.data) == (True, transport == "fcm", {})
    device = again(device)
    assert (device.status, device.verified_at, device.proof_seed) == ("active", NOW, "")
    assert told(device) == ["new→pending registered", "pending→active verified"]


def test_web_push_is_active_only_after_the_browser_has_answered(anna: User, service: Service):
    device = pending(anna, "webpush")
    drain()
    (message,) = service.messages
    assert (message.silent, message.title) == (False, "Notifications are on")
    assert message.data == {"device": str(device.pk), "nonce": verification.nonce(again(device))}
    assert again(device).status == "pending"
    delivery = PushDelivery.objects.get()
    assert message.ack_url == acks.url_for(delivery.pk)
    assert acks.acknowledge(delivery_id=delivery.pk, event="delivered", now=NOW)
    device = again(device)
    assert (device.status, device.last_confirmed_at) == ("active", NOW)
    assert told(device) == ["new→pending registered", "pending→pending asked", "pending→active verified"]


def test_the_nonce_is_nowhere_in_the_tables(anna: User):
    device = pending(anna, "webpush")
    nonce = verification.nonce(device)
    assert len(nonce) == 32
    assert nonce not in str([*PushDelivery.objects.values(), *PushDevice.objects.values()])


def test_a_nonce_counts_once_for_its_own_device_and_for_a_day(anna: User):
    device, other = pending(anna, "webpush"), pending(person(), "webpush")
    nonce = verification.nonce(device)
    for wrong in ("", nonce[:-1], nonce.upper(), "é" * 32, verification.nonce(other)):
        assert not verification.echoed(device=again(device), given=wrong, now=NOW)
    late = NOW + verification.PROOF_HOLDS + timedelta(seconds=1)
    assert not verification.echoed(device=again(device), given=nonce, now=late)
    assert verification.echoed(device=again(device), given=nonce, now=NOW)
    assert not verification.echoed(device=again(device), given=nonce, now=NOW)


def test_an_acknowledgement_of_an_earlier_test_push_proves_nothing(anna: User, service: Service):
    device = pending(anna, "webpush")
    drain()
    first = PushDelivery.objects.get()
    register(anna, Given(transport="webpush", address=device.address, p256dh=device.p256dh, auth=device.auth), now=NOW)
    later = NOW + verification.AGAIN_AFTER
    register(
        anna, Given(transport="webpush", address=device.address, p256dh=device.p256dh, auth=device.auth), now=later
    )
    assert PushDelivery.objects.count() == 2, "asked again, but not before ten minutes have passed"
    acks.acknowledge(delivery_id=first.pk, event="delivered", now=later)
    assert again(device).status == "pending"


def test_a_claim_over_fcm_is_a_real_push_with_a_nonce(anna: User, service: Service):
    given = Given(transport="fcm", address=token())
    register(anna, given)
    claim = register(person("bert"), given).device
    drain()
    asked = next(message for message in service.messages if message.data)
    assert (asked.silent, asked.dry_run, asked.data["nonce"]) == (True, False, verification.nonce(again(claim)))
    assert again(claim).status == "pending"


def test_retryable_answers_are_tried_after_1_5_and_30_seconds_and_then_it_is_invalid(anna: User, service: Service):
    service.say(Verdict.RETRY, status="429", reason="QUOTA_EXCEEDED", words="Too many.")
    device = pending(anna)
    waited, due = timedelta(), []
    for _ in range(4):
        assert again(device).status == "pending"
        drain(after=waited)
        delivery = PushDelivery.objects.get()
        due.append((delivery.due_at - NOW).total_seconds())
        waited = delivery.due_at - NOW
    assert due[:3] == [1, 6, 36]
    assert len(service.sent) == 4
    device = again(device)
    assert (device.status, device.status_reason) == ("invalid", "verification_failed")
    line = device.transitions.order_by("pk").last()
    assert line is not None
    assert (line.transport_status, line.transport_reason, line.delivery_id) == ("429", "QUOTA_EXCEEDED", delivery.pk)


def test_a_refusal_ends_it_at_once(anna: User, service: Service):
    service.say(Verdict.INVALIDATE, status="404", reason="UNREGISTERED", device_reason="refused")
    device = pending(anna)
    drain()
    assert (again(device).status, again(device).status_reason) == ("invalid", "refused")
    assert len(service.sent) == 1


@pytest.mark.parametrize("verdict", [Verdict.FAULT, Verdict.UNKNOWN, Verdict.SUSPECT])
def test_our_own_fault_or_an_answer_nobody_knows_leaves_it_pending(anna: User, service: Service, verdict: Verdict):
    service.say(verdict, status="400", reason="Strange")
    device = pending(anna)
    for after in (0, 1, 6, 36, 60):
        drain(after=timedelta(seconds=after))
    assert PushDelivery.objects.get().status == Status.DEAD_LETTER
    assert again(device).status == "pending"
    assert told(device)[-1] == "pending→pending not verified"


def test_a_stopped_lane_stops_the_clock(anna: User, service: Service):
    service.say(Verdict.STOP, status="401", reason="UNAUTHENTICATED", lane_reason="credential")
    device = pending(anna)
    for minutes in (0, 1, 10, 60, 300):
        drain(after=timedelta(minutes=minutes))
    delivery = PushDelivery.objects.get()
    assert (again(device).status, delivery.attempts) == ("pending", 0)
    Lane.objects.update(state=Lane.State.OPEN, until=None)
    service.say(Verdict.ACCEPTED, status="200")
    drain(after=timedelta(days=2))
    assert again(device).status == "active"


def test_who_was_removed_meanwhile_is_not_made_active(anna: User, service: Service):
    device = pending(anna, "webpush")
    nonce = verification.nonce(device)
    transitions.unregistered(device=again(device), reason="opted_out", now=NOW)
    assert not verification.echoed(device=again(device), given=nonce, now=timezone.now())
    drain()
    assert again(device).status == "unregistered"
