"""`/devices/`: one's own devices, why each is in its state, and what is wanted; without JavaScript."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from notifications.devices import registration, transitions
from notifications.devices.formats import Given
from notifications.models import Preference, PushDevice
from notifications.sending import wishes
from notifications.states import DeviceStatus
from notifications.templatetags import devices as tags
from tests.notifications.devices.world import VAPID_PRIVATE_KEY, person, register, subscription, token, wish

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PAGE = "/devices/"


@pytest.fixture
def anna() -> User:
    return person("anna")


@pytest.fixture
def client(anna: User) -> Client:
    made = Client()
    made.force_login(anna)
    return made


def named(user: User, name: str) -> PushDevice:
    given = Given(transport="fcm", address=token())
    return registration.register(wish=wish(user, given, installation=name, name=name), now=timezone.now()).device


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}preferences/", f"{PAGE}1/remove/"])
def test_strangers_are_sent_to_log_in(path: str):
    for answer in (Client().get(path), Client().post(path)):
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/accounts/login/?next={path}")


def test_reading_removes_nothing(client: Client, anna: User):
    device = named(anna, "Phone")
    assert client.get(f"{PAGE}{device.pk}/remove/").status_code == 405
    assert client.get(f"{PAGE}preferences/").status_code == 405
    assert client.post(PAGE).status_code == 405


def test_a_user_without_a_device_is_told_how_to_get_one(client: Client):
    page = client.get(PAGE)
    assert page.status_code == 200
    assert b"No device yet" in page.content
    assert "no-store" in page.headers["Cache-Control"]


def test_one_sees_ones_own_devices_and_what_happened_to_them(client: Client, anna: User):
    device = named(anna, "<b>Anna's phone</b>")
    transitions.verified(device=device, now=timezone.now())
    named(person("bert"), "Bert's secret phone")
    text = client.get(PAGE).content.decode()
    assert "&lt;b&gt;Anna&#x27;s phone&lt;/b&gt;" in text
    assert "Bert" not in text
    assert device.address not in text
    assert "Checked: it can be reached" in text


def test_removing_ones_own_device(client: Client, anna: User):
    device, other = named(anna, "Phone"), named(person("bert"), "Bert's")
    assert client.post(f"{PAGE}{other.pk}/remove/").status_code == 404
    page = client.post(f"{PAGE}{device.pk}/remove/", follow=True)
    assert b"Phone gets no more notifications." in page.content
    device.refresh_from_db()
    other.refresh_from_db()
    assert (device.status, device.status_reason, other.status) == ("unregistered", "opted_out", "pending")
    assert b"Earlier devices (1)" in page.content


def test_a_forged_removal_is_refused(anna: User):
    made = Client(enforce_csrf_checks=True)
    made.force_login(anna)
    device = named(anna, "Phone")
    assert made.post(f"{PAGE}{device.pk}/remove/").status_code == 403


def test_what_ended_long_ago_is_not_shown(client: Client, anna: User):
    device = named(anna, "Old phone")
    transitions.unregistered(device=device, reason="opted_out", now=timezone.now() - timedelta(days=31))
    assert b"Old phone" not in client.get(PAGE).content


def test_every_state_has_a_shape_and_words():
    assert set(tags.SHAPES) == set(tags.WORDS) == set(DeviceStatus)


def test_choosing_is_what_sending_goes_by(client: Client, anna: User, settings: Settings):
    settings.PUSH_CATEGORIES = ["news", "orders"]
    page = client.post(
        f"{PAGE}preferences/",
        {
            "everything": "yes",
            "category": ["orders"],
            "quiet_from": "22:00",
            "quiet_until": "07:30",
            "time_zone": "Europe/Vienna",
        },
        follow=True,
    )
    assert b"Saved." in page.content
    rows = wishes.read([anna.pk])
    news, orders = (wishes.of(rows, user=anna.pk, category=name) for name in ("news", "orders"))
    assert (news.wanted, orders.wanted) == (False, True)
    assert (orders.quiet_from, orders.quiet_until, orders.time_zone) == (time(22), time(7, 30), "Europe/Vienna")
    assert b'value="22:00"' in page.content
    assert b"<option selected>Europe/Vienna</option>" in page.content
    client.post(f"{PAGE}preferences/", {"category": ["news", "orders"], "time_zone": "UTC"})
    assert not wishes.of(wishes.read([anna.pk]), user=anna.pk, category="orders").wanted
    assert Preference.objects.count() == 3, "saying it again makes no more rows"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"quiet_from": "22:00"}, "Quiet hours need a beginning and an end."),
        ({"quiet_from": "22:00", "quiet_until": "22:00"}, "Quiet hours that begin when they end are none"),
        ({"quiet_from": "noon", "quiet_until": "13:00"}, "Times look like 22:00."),
        ({"quiet_from": "1" * 500, "quiet_until": "13:00"}, "Times look like 22:00."),
        ({"quiet_from": "10:00+01:00", "quiet_until": "13:00"}, "Times look like 22:00."),
        ({"time_zone": "Europe/Atlantis"}, "There is no such time zone."),
        ({"time_zone": "../../etc/passwd"}, "There is no such time zone."),
        ({"time_zone": "\x00"}, "There is no such time zone."),
    ],
)
def test_a_choice_that_cannot_be_kept_is_shown_again(client: Client, given: dict[str, Any], words: str):
    page = client.post(f"{PAGE}preferences/", {"everything": "yes", "time_zone": "UTC", **given})
    assert page.status_code == 422
    assert words in page.content.decode()
    assert not Preference.objects.exists()


def test_the_service_worker_is_served_at_the_root_and_never_cached():
    answer = Client().get("/redrive-sw.js")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert b"pushsubscriptionchange" in answer.content


def test_the_page_offers_this_browser_only_where_a_key_is_set(client: Client, settings: Settings):
    assert b"not set up here" in client.get(PAGE).content
    settings.VAPID_PRIVATE_KEY = VAPID_PRIVATE_KEY
    assert b"data-server-key=" in client.get(PAGE).content


def test_many_devices_cost_no_more_queries(client: Client, anna: User, django_assert_max_num_queries: Any):
    for number in range(12):
        device = register(anna, Given(transport="webpush", **subscription()), installation=f"i{number}").device
        if number % 2:
            registration.remove(device=device, reason="opted_out", now=timezone.now())
    with django_assert_max_num_queries(9):
        client.get(PAGE)
