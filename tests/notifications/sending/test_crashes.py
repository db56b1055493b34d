"""Processes that are killed in the middle: nobody is skipped, and what is repeated replaces itself on the device."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from notifications import push
from notifications.models import PushDelivery, PushDevice
from notifications.queue import PUSH
from queues.engine.states import Status
from tests.conftest import ROOT
from tests.notifications.sending.world import drain, many
from tests.notifications.transports.browser import Browser
from tests.notifications.transports.plain_server import PlainServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

VAPID_KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
"""The same as in `worker`."""

type Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(child_environment: dict[str, str]) -> Iterator[Start]:
    """Start a worker on this test's database."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.notifications.sending.worker", *words]
        child = subprocess.Popen(
            command, env=child_environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        started.append(child)
        return child

    yield run
    for child in started:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def browsers(service: PlainServer, count: int) -> list[PushDevice]:
    """Devices at this service, each with an endpoint of its own."""
    keys = Browser().keys
    devices = many(count, transport="webpush", **keys)
    for device in devices:
        device.address = f"{service.url}/{device.pk}"
    PushDevice.objects.bulk_update(devices, ["address"])
    return devices


def sends(service: PlainServer) -> Counter[tuple[str, str]]:
    """How often each (endpoint, topic) was sent to."""
    return Counter((request.path, request.headers["topic"]) for request in list(service.requests))


def test_kill_9_in_a_drain_skips_nobody_and_repeats_only_what_replaces_itself(start: Start, settings: Settings):
    count = 300
    settings.PRIVATE_HOSTS_ALLOWED, settings.VAPID_PRIVATE_KEY = ["127.0.0.1"], VAPID_KEY
    settings.RATE_LIMITS = {name: (1_000_000, seconds) for name, (_, seconds) in settings.RATE_LIMITS.items()}
    with PlainServer() as service:
        devices = browsers(service, count)
        push.notify(users=[each.installation.user_id for each in devices], title="Doors open")
        child = start("drain")
        deadline = time.monotonic() + 60
        while len(service.requests) < 100 and time.monotonic() < deadline:
            time.sleep(0.005)  # another process's work: there is nothing to wait on but what it sends
        child.kill()
        child.wait()
        assert 0 < PushDelivery.objects.filter(status=Status.SUCCEEDED).count() < count, "it died in the middle"
        PushDelivery.objects.filter(status=Status.PROCESSING).update(leased_until=timezone.now() - timedelta(seconds=1))
        drain()
        found = sends(service)
    assert PushDelivery.objects.filter(status=Status.SUCCEEDED).count() == count
    assert {path for path, _topic in found} == {f"/{device.pk}" for device in devices}, "nobody is skipped"
    assert len(found) == count, "a repetition has the same topic: the device shows one"
    assert sum(found.values()) - count <= PUSH.hands


def test_kill_9_in_a_fan_out_leaves_all_or_nothing_and_the_key_makes_it_whole(start: Start):
    devices = many(2000)
    for moment in (0.0, 0.15):
        child = start("notify", "spring", str(len(devices)))
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moment)  # somewhere inside: where, is up to the machine
        child.kill()
        child.wait()
        assert PushDelivery.objects.count() in (0, len(devices)), "all or nothing"
    push.notify(users=[each.installation.user_id for each in devices], title="Doors open", key="spring")
    rows = PushDelivery.objects.values_list("user", "push_id")
    assert len(rows) == len(set(rows)) == len(devices), "nobody is skipped, and nobody is there twice"
