"""The demo of push: a pretend device where there is no internet, and a form that sends oneself a push."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from notifications.models import PushDelivery, PushDevice
from tests.notifications.devices.world import VAPID_PRIVATE_KEY, person
from tests.notifications.sending.world import drain

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

PAGE = "/demo/push/"
SHOTS = os.environ.get("SCREENSHOTS", "")


@pytest.fixture
def demo(settings: Settings) -> User:
    """Everything as `make up` sets it; the customer."""
    settings.ROOT_URLCONF, settings.DEMO = "tests.config.demo_urls", True
    settings.VAPID_PRIVATE_KEY = VAPID_PRIVATE_KEY
    return person("customer")


def test_a_pretend_device_gets_a_push(demo: User):
    client = Client()
    assert client.get(PAGE).status_code == 302
    client.force_login(demo)
    assert b"No device to send it to yet" in client.post(f"{PAGE}send/", {"title": "Hello"}, follow=True).content
    for _ in range(2):
        client.post(f"{PAGE}pretend/")
    drain()
    assert PushDevice.objects.get().status == "active"
    page = client.post(f"{PAGE}send/", {"title": "Hello", "body": "there"}, follow=True)
    assert b"On its way to 1 device." in page.content
    drain()
    assert PushDelivery.objects.latest("pk").accepted_at is not None
    assert b"accepted" in client.get(PAGE).content
    assert b"cannot be pushed" in client.post(f"{PAGE}send/", {"title": ""}, follow=True).content
    client.post("/devices/preferences/", {"time_zone": "UTC"})
    assert b"your own choice" in client.post(f"{PAGE}send/", {"title": "Hello"}, follow=True).content


@pytest.mark.browser
def test_the_page_on_a_small_screen(page: Any, demo: User, log_in: Callable[[Any], Any]):
    page.set_viewport_size({"width": 360, "height": 740})
    log_in(demo).goto(PAGE)
    page.get_by_role("button", name="Take a pretend device").click()
    page.get_by_text("Being checked").wait_for()
    drain()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("On its way to 1 device.").wait_for()
    drain()
    page.get_by_role("link", name="Look again").click()
    page.get_by_text("Night of the Strings · accepted").wait_for()
    page.locator("#this-browser[data-state]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/demo-push.png", full_page=True)
