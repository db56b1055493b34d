"""In a real browser: it subscribes, gets a real encrypted push, answers it, and is switched off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from pytest_django import Settings

from notifications.models import PushDelivery, PushDevice
from tests import chromium
from tests.browser import TIMEOUT
from tests.notifications.devices.gcm import Google
from tests.notifications.devices.world import VAPID_PRIVATE_KEY, person
from tests.notifications.sending.world import drain

pytestmark = [pytest.mark.browser, pytest.mark.once, pytest.mark.django_db(transaction=True)]

PAGE = "/devices/"


@pytest.fixture
def anna() -> User:
    return person("anna")


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Google]:
    made = Google(tmp_path)
    yield made
    made.close()


@pytest.fixture
def browser(
    google: Google, live_server: Any, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A Chromium with a profile of its own (there is no push in private windows), whose Google is ours."""
    from playwright.sync_api import sync_playwright

    settings.VAPID_PRIVATE_KEY = VAPID_PRIVATE_KEY
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
    settings.BASE_URL = live_server.url
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=chromium.path(),
            args=["--no-sandbox", "--disable-gpu", "--disable-sync", *google.switches],
            ignore_default_args=["--disable-background-networking"],
            base_url=live_server.url,
        )
        context.set_default_timeout(TIMEOUT)
        yield context
        connections.close_all()
        context.close()


@pytest.fixture
def opened(browser: Any, client: Any, live_server: Any, anna: User) -> Any:
    client.force_login(anna)
    browser.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    browser.grant_permissions(["notifications"], origin=live_server.url)
    page = browser.pages[0]
    page.goto(PAGE)
    return page


def state(page: Any) -> str:
    return str(page.locator("#this-browser").get_attribute("data-state"))


def deliver(google: Google) -> None:
    """Send what is due, to where the browser's push service really is."""
    for device in PushDevice.objects.exclude(address__startswith=google.url):
        PushDevice.objects.filter(pk=device.pk).update(address=google.address(device.address))
    drain()


def shown(page: Any) -> list[str]:
    script = "navigator.serviceWorker.ready.then(r => r.getNotifications()).then(all => all.map(n => n.title))"
    return list(page.evaluate(script))


def until(page: Any, wanted: Callable[[], bool]) -> None:
    for _ in range(100):
        if wanted():
            return
        page.wait_for_timeout(100)
    print(list(PushDelivery.objects.values("status","last_code","last_words","accepted_at","delivered_at","payload")), shown(page))
    raise AssertionError("it never came")


def test_subscribe_push_answer_and_off(opened: Any, google: Google, anna: User):
    opened.locator("#this-browser[data-state=off]").wait_for()
    opened.get_by_role("button", name="Turn on notifications here").click()
    opened.locator("#this-browser[data-state=on]").wait_for()
    device = PushDevice.objects.get()
    assert (device.status, device.transport) == ("pending", "webpush")
    deliver(google)
    until(opened, lambda: PushDevice.objects.get().status == "active")
    assert PushDelivery.objects.get().delivered_at is not None
    assert "Notifications are on" in shown(opened)
