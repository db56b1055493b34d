"""Push: register ▶ pending ▶ verification ▶ active ▶ notify ▶ one delivery a device ▶ accepted ▶ delivered ▶ opened.

Token refresh: old invalid (`replaced`), new pending, one live address per installation. A real push service on loopback
takes what a browser's own half of RFC 8291 decrypts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from config import secrets
from notifications import push
from notifications.models import PushDelivery, PushDevice
from notifications.sending import words
from notifications.states import LIVE
from queues.engine import registry
from queues.engine.drain import Drain
from tests.notifications.transports.browser import Browser, faults
from tests.notifications.transports.plain_server import PlainServer, Told

pytestmark = pytest.mark.django_db(transaction=True)


def drained(*, after: timedelta = timedelta()) -> Counter[str]:
    return Drain(registry.get("push"), clock=lambda: timezone.now() + after).run()


@pytest.fixture
def push_service(settings: Settings) -> Iterator[PlainServer]:
    """The push service of a browser, excepted from the ban on private addresses."""
    settings.VAPID_PRIVATE_KEY = secrets.vapid_key()
    with PlainServer() as server:
        settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
        yield server


class Phone:
    """A browser with a service worker: it subscribes, receives, shows, acknowledges."""

    def __init__(self, user: User, service: PlainServer) -> None:
        self.client, self.service, self.browser = Client(), service, Browser()
        self.client.force_login(user)
        self.endpoint = ""

    def subscribe(self, name: str) -> Any:
        """A (new) subscription, told to the server."""
        self.endpoint = f"{self.service.url}/{name}"
        wish = {"installation_id": "browser-1", "transport": "webpush", "address": self.endpoint, **self.browser.keys}
        answer = self.client.post("/api/v1/devices/", wish, content_type="application/json")
        assert answer.status_code in (200, 201), answer.content
        return answer.json()

    def received(self) -> list[dict[str, Any]]:
        """What came for this subscription, decrypted; each request as the RFCs want it."""
        came = [each for each in self.service.requests if each.path == urlsplit(self.endpoint).path]
        assert [faults(each, origin=self.service.url) for each in came] == [[]] * len(came)
        return [self.browser.read(each) for each in came]

    def acknowledge(self, message: dict[str, Any], event: str) -> int:
        """As the service worker does: without a cookie, by the link that the push carries."""
        body = {"event": event}
        return Client().post(urlsplit(message["ack_url"]).path, body, content_type="application/json").status_code


def test_from_registration_to_a_tap_on_the_notification(push_service: PlainServer):
    anna = User.objects.create_user("anna")
    phone = Phone(anna, push_service)

    # Registered, not yet trusted: nothing but its test push is sent to it.
    told = phone.subscribe("first")
    assert (told["status"], told["echo"]) == ("pending", True)
    assert push.notify(users=[anna], title="Too early").no_device == 1
    assert drained() == {"ack": 1}
    (welcome,) = phone.received()
    assert PushDevice.objects.get().status == "pending", "that it was accepted proves nothing"
    assert phone.acknowledge(welcome, "delivered") == 204
    assert PushDevice.objects.get().status == "active"

    # Notified inside a transaction: nothing leaves before it commits.
    with transaction.atomic():
        made = push.notify(users=[anna], title="Doors open", body="Row 7", url="/tickets/7/", key="doors")
        assert len(push_service.requests) == 1
    assert push.notify(users=[anna], title="Doors open", body="Row 7", url="/tickets/7/", key="doors").repeated
    row = PushDelivery.objects.get(push_id=made.push_id)
    assert str(words.of(row)) == "queued"
    push_service.tell = lambda request: Told(503)
    assert drained() == {"retry": 1}
    push_service.tell = lambda request: Told(201, headers={"Location": "/message/1"})
    assert drained(after=timedelta(seconds=2)) == {"ack": 1}
    row.refresh_from_db()
    assert str(words.of(row)) == "accepted"
    topics = [request.headers["topic"] for request in push_service.requests[1:]]
    assert len(topics) == 2
    assert len(set(topics)) == 1, "the repetition replaces itself on the device"

    # The device's own word.
    message = phone.received()[-1]
    assert (message["title"], message["body"], message["url"]) == ("Doors open", "Row 7", "/tickets/7/")
    for event, word in (("delivered", "delivered"), ("opened", "opened"), ("delivered", "opened")):
        assert phone.acknowledge(message, event) == 204
        row.refresh_from_db()
        assert str(words.of(row)) == word

    # The browser renews its subscription while a push is on its way: it reaches the new one.
    push.notify(users=[anna], title="Last call")
    renewed = phone.subscribe("second")
    old = PushDevice.objects.get(status="invalid")
    assert (old.status_reason, old.superseded_by_id, renewed["status"]) == ("replaced", renewed["id"], "pending")
    assert PushDevice.objects.filter(installation=old.installation, status__in=LIVE).count() == 1
    counts = drained()
    assert (counts["ack"], counts["snooze"]) == (1, 1), "the test push; the other one waits for its proof"
    assert phone.acknowledge(phone.received()[0], "delivered") == 204
    assert drained(after=timedelta(seconds=6)) == {"ack": 1}
    assert [each["title"] for each in phone.received()] == ["Notifications are on", "Last call"]
    assert not [each for each in push_service.requests if each.path == "/first"][3:], "nothing more went to the old one"

    # She switches notifications off in her browser: 410, and the address is dead.
    push.notify(users=[anna], title="Goodbye")
    push_service.tell = lambda request: Told(410)
    assert drained() == {"dead_letter": 1}
    gone = PushDevice.objects.get(pk=renewed["id"])
    assert (gone.status, gone.status_reason) == ("invalid", "refused")
    assert push.notify(users=[anna], title="Anybody there?").no_device == 1


def test_a_phone_that_changes_hands_shows_nothing_of_its_last_owner(push_service: PlainServer):
    anna, ben = User.objects.create_user("anna"), User.objects.create_user("ben")
    hers = Phone(anna, push_service)
    hers.subscribe("phone")
    drained()
    hers.acknowledge(hers.received()[0], "delivered")
    push.notify(users=[anna], title="For Anna only")

    his = Phone(ben, push_service)
    his.browser = hers.browser  # the same phone
    his.subscribe("phone")
    assert PushDevice.objects.get(status="active").installation.user == anna, "his word alone is not enough"
    PushDelivery.objects.filter(purpose="notify").update(due_at=timezone.now() + timedelta(seconds=30))
    drained()
    assert his.acknowledge(his.received()[-1], "delivered") == 204
    assert PushDevice.objects.get(status="active").installation.user == ben
    assert drained(after=timedelta(seconds=31)) == {"cancel": 1}
    row = PushDelivery.objects.get(purpose="notify")
    assert words.of(row).word == "suppressed"
    assert "For Anna only" not in [each["title"] for each in his.received()]
    push.notify(users=[anna, ben], title="Good evening")
    assert drained() == {"ack": 1}
    assert PushDelivery.objects.filter(purpose="notify", user=ben).count() == 1
