"""The demo's pushes: devices of the customer in every state, and two days of pushes to them, some of which failed."""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User

from notifications import push
from notifications.devices import transitions
from notifications.models import Installation, Lane, PushDelivery, PushDevice
from notifications.states import AddressKind, DeviceStatus, Transport
from notifications.transports.answers import Answer, Verdict
from queues.engine.attempts import Attempt
from queues.engine.states import Status

WHOSE = "customer"
HISTORY = 80
GONE = Answer(Verdict.INVALIDATE, "404", "UNREGISTERED", "The token is unregistered.", device_reason="refused")
NEWS = (
    ("Doors open at seven", "Night of the Strings, row 7", "/demo/shop/", "orders"),
    ("Your seat is confirmed", "Jazz on the River, seat 12", "/demo/shop/", "orders"),
    ("New: The Lighthouse Tour", "Seats from 18.50", "/demo/shop/", "news"),
    ("Your password was changed", "If that was not you, tell us.", "/devices/", "account"),
)
PHONE, TABLET = ("Pixel", "Android"), ("Tablet in the kitchen", "Android")
LAPTOP, WATCH = ("Laptop", "Linux"), ("Watch", "Wear OS")


def load(*, now: datetime) -> int:
    """Make what is missing; returns how many pushes of the past. Safe to repeat."""
    anna = User.objects.filter(username=WHOSE).first()
    if anna is None or Installation.objects.filter(user=anna, installation_id="demo-pixel").exists():
        return 0
    phone, tablet = (_device(anna, *what, at=now - timedelta(days=60)) for what in (PHONE, TABLET))
    laptop = _device(anna, *LAPTOP, at=now - timedelta(days=200))
    watch = _device(anna, *WATCH, at=now - timedelta(days=90))
    PushDevice.objects.filter(pk=watch.pk).update(last_seen_at=now - timedelta(days=3))
    PushDevice.objects.filter(pk=laptop.pk).update(last_seen_at=now - timedelta(days=40))
    laptop.refresh_from_db()
    transitions.aged(devices=[laptop], into=DeviceStatus.STALE, now=now - timedelta(days=10))
    transitions.invalidated(device=watch, reason="refused", answer=GONE, now=now - timedelta(hours=20))
    Lane.objects.get_or_create(
        app="default", transport="fcm", environment="production", credential="demo", defaults={"changed_at": now}
    )
    made = _history(anna, (phone, tablet), watch, now=now)
    for title, body, url, category in NEWS[:3]:
        push.notify(users=[anna], title=title, body=body, url=url, category=category, key=f"demo:{title}", now=now)
    return made


def _device(user: User, name: str, platform: str, *, at: datetime) -> PushDevice:
    slug = name.split(" ")[0].lower()
    installation = Installation.objects.create(
        user=user, installation_id=f"demo-{slug}", name=name, platform=platform, app_version="4.2", created_at=at
    )
    device = PushDevice.objects.create(
        installation=installation,
        app=installation.app,
        transport=Transport.CONSOLE,
        address_kind=AddressKind.CONSOLE,
        address=f"demo-{slug}",
        address_sha256=uuid.uuid5(push.NAMESPACE, f"demo-{user.pk}-{slug}").hex,
        registered_at=at,
        status_changed_at=at,
    )
    transitions.registered(device=device, now=at)
    answer = Answer(Verdict.ACCEPTED, "200", words="The test push was taken.")
    transitions.verified(device=device, now=at + timedelta(seconds=3), answer=answer)
    return device


def _history(user: User, live: tuple[PushDevice, ...], gone: PushDevice, *, now: datetime) -> int:
    """Pushes of the last two days; their rows are written as the engine would have left them."""
    chance = random.Random(11)  # noqa: S311 - the same history at every first start
    rows = []
    for number in range(HISTORY):
        at = now - timedelta(hours=48 * (HISTORY - number) / HISTORY)
        device = live[number % len(live)]
        rows.append(_row(user, device, number, at) | _fate(chance.random(), at))
    ended = now - timedelta(hours=20)
    rows.append(_row(user, gone, HISTORY, ended) | _dead(ended, "console 404 UNREGISTERED"))
    deliveries = PushDelivery.objects.bulk_create([PushDelivery(**row) for row in rows])
    Attempt.objects.bulk_create(
        Attempt(
            queue=push.QUEUE,
            item_id=row.pk,
            number=1,
            started_at=row.created_at,
            duration_ms=41,
            outcome={Status.SUCCEEDED: "ack", Status.DEAD_LETTER: "dead_letter"}.get(Status(row.status), "cancel"),
            code=row.last_code,
            words=row.last_words,
            via=Transport.CONSOLE,
            worker="demo:1",
        )
        for row in deliveries
        if row.runs
    )
    return len(deliveries)


def _row(user: User, device: PushDevice, number: int, at: datetime) -> dict[str, Any]:
    title, body, url, category = NEWS[number % len(NEWS)]
    push_id = uuid.uuid5(push.NAMESPACE, f"demo-{user.pk}-{number}")
    return {
        "idempotency_key": f"demo:push:{user.pk}:{number}",
        "kind": category,
        "created_at": at,
        "due_at": at,
        "expires_at": at + push.TTL,
        "device": device,
        "user": user,
        "push_id": push_id,
        "campaign": "autumn" if category == "news" else "",
        "payload": {"title": title, "body": body, "url": url, "data": {}},
        "collapse_id": push_id.hex,
        "attempts": 1,
        "runs": 1,
        "version": 2,
    }


def _fate(chance: float, at: datetime) -> dict[str, Any]:
    """What became of one: most arrive, many are opened, a few are not wished, time out or fail."""
    if chance > 0.95:
        return _dead(at + timedelta(seconds=37), "console 503")
    if chance > 0.88:
        code, words = "suppressed:preference", "Not sent: its user does not want this category."
        never = {"status": Status.CANCELLED, "cancelled_at": at, "last_code": code, "last_words": words}
        return {**never, "attempts": 0, "runs": 0}
    taken = at + timedelta(seconds=1)
    fate: dict[str, Any] = {"status": Status.SUCCEEDED, "succeeded_at": taken, "accepted_at": taken}
    fate |= {"lane_key": "default/console/production", "last_words": "accepted", "provider_id": "console-demo"}
    if chance < 0.8:
        fate["delivered_at"] = at + timedelta(seconds=4)
    if chance < 0.35:
        fate["opened_at"] = at + timedelta(minutes=3)
    return fate


def _dead(at: datetime, code: str) -> dict[str, Any]:
    words = "The service was unavailable." if "503" in code else "The token is unregistered."
    reason = code if "503" in code else f"dead address: {code}"
    dead = {"status": Status.DEAD_LETTER, "dead_at": at, "last_code": code, "last_words": words}
    return {**dead, "failed_reason": reason}
