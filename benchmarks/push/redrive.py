"""Redrive's side: the carrier alone, and the room around it on a database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django

from benchmarks.push import browsers, clock


def _set_up(url: str) -> None:
    django.setup()
    from django.conf import settings

    settings.VAPID_PRIVATE_KEY = browsers.server_key_raw()
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
    settings.DEFAULT_FROM_EMAIL = "push@example.com"


def _address(url: str) -> Any:
    from notifications.transports.answers import Address

    given = browsers.subscription(url)
    return Address("default", "webpush_endpoint", given["endpoint"], **given["keys"])


def _message() -> Any:
    from notifications.transports.answers import Message

    said = browsers.SAID
    return Message(title=said["title"], body=said["body"], url=said["url"], collapse_id=said["tag"])


def encrypt(url: str, *, cached: bool = True, **_: Any) -> dict[str, float]:
    """Encrypt one message, with the header of its origin; signed each time if not `cached`."""
    _set_up(url)
    from django.utils import timezone

    from notifications.transports import ece, vapid

    keys = browsers.subscription(url)["keys"]

    def once() -> None:
        if not cached:
            vapid._headers.clear()
        ece.encrypt(browsers.TEXT, **keys)
        vapid.header(origin=url, now=timezone.now())

    return {"CPU µs": clock.best_cpu(once)}


def send(url: str, *, count: int, threads: int = 1) -> dict[str, float]:
    """Web Push through the carrier."""
    _set_up(url)
    from notifications.transports.answers import Verdict
    from notifications.transports.webpush import WebPush

    carrier, message = WebPush(), _message()
    addresses = [_address(url) for _ in range(50)]

    def hand(times: int) -> None:
        for number in range(times):
            assert carrier.send(message, addresses[number % 50]).verdict is Verdict.ACCEPTED
        carrier.close()

    return clock.in_threads(hand, count=count, threads=threads)


def register(url: str, *, count: int) -> dict[str, float]:
    """New Web Push addresses of new installations, each in its own transaction, with the test push enqueued."""
    _set_up(url)
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from notifications.devices import formats, registration

    users = get_user_model().objects.bulk_create([get_user_model()(username=f"u{each}") for each in range(100)])
    given = [browsers.subscription(url) for _ in range(count)]

    def one(number: int) -> None:
        made = formats.Given(transport="webpush", address=given[number]["endpoint"], **given[number]["keys"])
        wish = registration.Wish(user=users[number % 100], installation_id=f"i{number}", given=made)
        registration.register(wish=wish, now=timezone.now())

    return _timed(one, count)


def drain(url: str, *, count: int) -> dict[str, float]:
    """Deliveries of one call of `notify` sent to the sink by `drain push`, rate limits raised but checked."""
    _set_up(url)
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from notifications import push
    from notifications.models import Installation, PushDelivery, PushDevice
    from queues.engine import registry
    from queues.engine.drain import Drain

    now = timezone.now()
    users = get_user_model().objects.bulk_create(
        [get_user_model()(username=f"u{each}") for each in range(count)], batch_size=1000
    )
    installations = Installation.objects.bulk_create(
        [Installation(user=user, installation_id=f"i{user.pk}") for user in users], batch_size=1000
    )
    devices = []
    for each in installations:
        given = browsers.subscription(url)
        devices.append(
            PushDevice(
                installation=each,
                app="default",
                transport="webpush",
                address_kind="webpush_endpoint",
                address=given["endpoint"],
                address_sha256=f"{each.pk:064d}",
                status="active",
                verified_at=now,
                **given["keys"],
            )
        )
    PushDevice.objects.bulk_create(devices, batch_size=1000)
    said = browsers.SAID
    began = time.perf_counter()
    made = push.notify(users=users, title=said["title"], body=said["body"], url=said["url"], ttl=timedelta(hours=1))
    fan_out = time.perf_counter() - began
    assert made.deliveries == count, made
    cpu, wall = time.process_time(), time.perf_counter()
    Drain(registry.get("push")).run()
    seconds = time.perf_counter() - wall
    sent = PushDelivery.objects.filter(accepted_at__isnull=False).count()
    assert sent == count, f"{sent} of {count}"
    return {
        "per minute": count * 60 / seconds,
        "CPU ms each": (time.process_time() - cpu) * 1e3 / count,
        "fan-out per second": count / fan_out,
    }


def _timed(one: Callable[[int], None], count: int) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for number in range(count):
        one(number)
    seconds = time.perf_counter() - wall
    return {"per minute": count * 60 / seconds, "CPU ms each": (time.process_time() - cpu) * 1e3 / count}
