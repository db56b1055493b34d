"""The device's own word: signed, repeated, out of order, forged."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core import signing
from django.test import Client
from django.utils import timezone

from notifications import push
from notifications.models import PushDelivery, PushDevice
from notifications.sending import acks, words
from notifications.states import DeviceStatus
from notifications.transports.answers import Verdict
from queues.engine.states import Status
from tests.notifications.sending.world import Service, device, drain

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = Client(enforce_csrf_checks=True)


def sent(service: Service, *, drained: bool = True, **fields: Any) -> tuple[PushDelivery, str]:
    """A delivery and the path its device acknowledges at."""
    one = device(**fields)
    push.notify(users=[one.installation.user_id], title="Doors open")
    if drained:
        drain()
    row = PushDelivery.objects.latest("pk")
    return row, acks.url_for(row.pk).removeprefix(settings.BASE_URL)


def say(path: str, event: Any, **more: Any) -> Any:
    return CLIENT.post(path, json.dumps({"event": event}), **{"content_type": "application/json", **more})


def word(row: PushDelivery) -> str:
    row.refresh_from_db()
    return words.of(row).word


def test_delivered_then_opened_and_each_of_them_once(service: Service):
    row, path = sent(service, status=DeviceStatus.STALE)
    assert service.messages[0].ack_url == acks.url_for(row.pk)
    assert say(path, "delivered").status_code == 204
    assert word(row) == "delivered"
    first = row.delivered_at
    assert say(path, "opened").status_code == 204
    for event in ("delivered", "opened", "delivered"):
        assert say(path, event).status_code == 204
    assert word(row) == "opened"
    assert row.delivered_at == first, "the first word counts"
    assert row.device is not None
    assert (row.device.status, row.device.last_confirmed_at is not None) == (DeviceStatus.ACTIVE, True)


def test_opened_means_delivered_too(service: Service):
    row, path = sent(service)
    say(path, "opened", content_type="text/plain")
    assert word(row) == "opened"
    assert row.delivered_at == row.opened_at


def test_a_look_changes_nothing(service: Service):
    row, path = sent(service)
    for method in ("get", "head", "put", "delete"):
        assert getattr(CLIENT, method)(path).status_code == 405
    answer = CLIENT.options(path)
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (204, "*")
    assert word(row) == "accepted"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"[" * 900, 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b"[]", 400, "invalid"),
        (b"{}", 400, "invalid"),
        (b'{"event": "accepted"}', 400, "invalid"),
        (b'{"event": ["opened"]}', 400, "invalid"),
        (b'{"event": "opened", "x": "' + b"x" * 1000 + b'"}', 413, "too_large"),
    ],
)
def test_what_is_no_acknowledgement_is_told_so(service: Service, raw: bytes, status: int, code: str):
    row, path = sent(service)
    answer = CLIENT.post(path, raw, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert word(row) == "accepted"


def test_nobody_can_acknowledge_what_was_not_sent_to_them(service: Service):
    row, path = sent(service)
    token = path.split("/")[-2]
    other = signing.TimestampSigner(salt="something.else", sep=".").sign(str(row.pk))
    forged = [token[:-1] + ("a" if token[-1] != "a" else "b"), token.replace(str(row.pk), str(row.pk + 1), 1), other]
    for each in [*forged, "x", "x" * 500, f"{row.pk}", "%00"]:
        assert say(f"/push/ack/{each}/", "opened").status_code == 404
    assert word(row) == "accepted"
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert say(path, "opened").status_code == 410
    assert word(row) == "accepted"
    PushDelivery.objects.all().delete()
    assert say(path, "opened").status_code == 410


def test_the_word_of_a_device_ends_the_doubt(service: Service):
    service.say(Verdict.UNCERTAIN, status="timeout")
    row, path = sent(service)
    assert word(row) == "uncertain"
    say(path, "delivered")
    assert word(row) == "delivered"
    assert (row.status, row.accepted_at is not None) == (Status.SUCCEEDED, True)
    drain(after=timedelta(seconds=60))
    assert len(service.sent) == 1, "it is not sent again"


def test_a_device_that_speaks_before_the_ack_is_written_is_heard(service: Service):
    """The push service's answer is still on its way when the phone has shown it already."""

    def show(message: Any, address: Any) -> Any:
        say(message.ack_url.removeprefix(settings.BASE_URL), "opened")
        return service_answer(message, address)

    service_answer, service.answer = service.answer, show
    row, _path = sent(service)
    assert word(row) == "opened"
    assert row.status == Status.SUCCEEDED


def test_a_worker_that_died_after_sending_does_not_repeat_what_the_device_has_shown(service: Service):
    row, path = sent(service, drained=False)
    past = timezone.now() - timedelta(seconds=1)
    PushDelivery.objects.filter(pk=row.pk).update(
        status=Status.PROCESSING, lease_token="0" * 32, leased_until=past, attempts=1, runs=1
    )
    say(path, "delivered")
    drain(after=timedelta(seconds=6))
    drain(after=timedelta(seconds=6))
    assert (word(row), row.status, service.sent) == ("delivered", Status.SUCCEEDED, [])


def test_a_replay_of_staff_is_sent_again(service: Service):
    row, path = sent(service)
    say(path, "delivered")
    row.refresh_from_db()
    from queues.engine import transitions

    transitions.replay(PushDelivery.objects.filter(pk=row.pk), now=timezone.now())
    drain()
    assert len(service.sent) == 2
    assert PushDevice.objects.get().status == DeviceStatus.ACTIVE
