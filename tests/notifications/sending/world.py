"""Devices, a push service that says what it is told to, and a drain: the world of the sending tests."""

from __future__ import annotations

import itertools
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from notifications.models import Installation, PushDelivery, PushDevice
from notifications.states import AddressKind, DeviceStatus, Transport
from notifications.transports.answers import Address, Answer, Message, Verdict
from queues.engine import registry
from queues.engine.drain import Drain

_numbers = itertools.count(1)

KINDS = {
    Transport.FCM: AddressKind.FCM_TOKEN,
    Transport.APNS: AddressKind.APNS_TOKEN,
    Transport.WEBPUSH: AddressKind.WEBPUSH_ENDPOINT,
    Transport.CONSOLE: AddressKind.CONSOLE,
}


class Service:
    """The far edge: a push service. `say` sets what it answers, to all or to one address."""

    def __init__(self) -> None:
        self.answer: Callable[[Message, Address], Answer] = lambda message, address: ACCEPTED
        self.sent: list[tuple[str, str]] = []
        """(address, collapse id), in order."""
        self.messages: list[Message] = []
        self.account = "key-1"
        self._lock = threading.Lock()

    def say(self, verdict: Verdict, **parts: Any) -> None:
        self.answer = lambda message, address: Answer(verdict, **parts)

    def credential(self, address: Address) -> str:
        return self.account

    def send(self, message: Message, address: Address) -> Answer:
        with self._lock:
            self.sent.append((address.address, message.collapse_id))
            self.messages.append(message)
        return self.answer(message, address)

    def close(self) -> None: ...

    def copies(self) -> Counter[tuple[str, str]]:
        with self._lock:
            return Counter(self.sent)


ACCEPTED = Answer(Verdict.ACCEPTED, status="200", provider_id="p-1")
DEAD = Answer(
    Verdict.INVALIDATE, status="404", reason="UNREGISTERED", words="The token is unregistered.", device_reason="refused"
)


def person(name: str = "") -> User:
    return User.objects.create_user(name or f"user{next(_numbers)}")


def device(user: User | None = None, *, transport: str = Transport.FCM, **fields: Any) -> PushDevice:
    """An active device of a user, unless the fields say otherwise."""
    number = next(_numbers)
    installation = fields.pop("installation", None) or Installation.objects.create(
        user=user or person(), installation_id=f"i{number}"
    )
    address = fields.pop("address", f"token-{number}")
    given: dict[str, Any] = {
        "status": DeviceStatus.ACTIVE,
        "verified_at": timezone.now(),
        "address_kind": KINDS[Transport(transport)],
        "address_sha256": f"{number:064x}",
        "app": installation.app,
        **fields,
    }
    return PushDevice.objects.create(installation=installation, transport=transport, address=address, **given)


def many(count: int, *, transport: str = Transport.FCM, **fields: Any) -> list[PushDevice]:
    """Active devices of as many users, in few statements."""
    first, same = next(_numbers), fields.pop("address", "")
    for _ in range(count):
        next(_numbers)
    users = User.objects.bulk_create(User(username=f"many{first + n}") for n in range(count))
    installations = Installation.objects.bulk_create(
        Installation(user=user, installation_id=f"m{first + n}") for n, user in enumerate(users)
    )
    return PushDevice.objects.bulk_create(
        PushDevice(
            installation=installation,
            transport=transport,
            address=same or f"token-{first + n}",
            address_kind=KINDS[Transport(transport)],
            address_sha256=f"{first + n:064x}",
            app="default",
            **{"status": DeviceStatus.ACTIVE, "verified_at": timezone.now(), **fields},
        )
        for n, installation in enumerate(installations)
    )


def drain(*, after: timedelta = timedelta()) -> Counter[str]:
    """Run the push queue as if it were so much later."""
    return Drain(registry.get("push"), clock=lambda: timezone.now() + after).run()


def by_status() -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for status in PushDelivery.objects.values_list("status", flat=True):
        found[status] += 1
    return dict(found)
