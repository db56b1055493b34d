"""In a real browser: it subscribes, gets a real encrypted push, answers it, and is switched off again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from notifications import push
from notifications.devices import registration
from notifications.devices.formats import Given
from notifications.models import PushDelivery, PushDevice
from notifications.states import LIVE, DeviceStatus
from tests import chromium
from tests.browser import TIMEOUT
from tests.notifications.devices.gcm import Google
from tests.notifications.devices.world import VAPID_PRIVATE_KEY, person, token, wish
from tests.notifications.sending.world import drain

pytestmark = [pytest.mark.browser, pytest.mark.once, pytest.mark.django_db(transaction=True)]

PAGE = "/devices/"
SHOTS = os.environ.get("SCREENSHOTS", "")
"""A folder for pictures, for whoever wants to look."""


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
    raise AssertionError("it never came")


def in_worker(browser: Any, script: str) -> Any:
    """Run something in the service worker."""
    return browser.service_workers[0].evaluate(script)


def test_from_subscribing_to_opened_to_gone(opened: Any, browser: Any, google: Google, anna: User):
    opened.locator("#this-browser[data-state=off]").wait_for()
    opened.get_by_role("button", name="Turn on notifications here").click()
    opened.locator("#this-browser[data-state=on]").wait_for()
    device = PushDevice.objects.get()
    assert (device.status, device.transport, device.installation.name) == ("pending", "webpush", "Chrome on Linux")

    deliver(google)
    until(opened, lambda: PushDevice.objects.get().status == "active")
    assert "Notifications are on" in shown(opened)
    opened.locator(f"#device-{device.pk} .badge-device-active").wait_for()

    push.notify(users=[anna], title="Hello Änna 👋", body="x" * 2000, url="/account/")
    deliver(google)
    delivery = PushDelivery.objects.latest("pk")
    until(opened, lambda: PushDelivery.objects.get(pk=delivery.pk).delivered_at is not None)
    assert "Hello Änna 👋" in shown(opened)
    assert b"Hello" not in b"".join(google.sent)

    in_worker(
        browser,
        """async () => {
            const notification = (await registration.getNotifications()).find((each) => each.title.startsWith("Hello"));
            dispatchEvent(new NotificationEvent("notificationclick", { notification }));
        }""",
    )
    until(opened, lambda: PushDelivery.objects.get(pk=delivery.pk).opened_at is not None)

    google.gone.add(PushDevice.objects.get().address.rpartition("/")[2])
    push.notify(users=[anna], title="Too late")
    deliver(google)
    device.refresh_from_db()
    assert (device.status, device.status_reason) == ("invalid", "refused")


def test_the_client_repairs_itself(opened: Any, browser: Any, live_server: Any, anna: User):
    tries: list[str] = []

    def failing(route: Any) -> None:
        tries.append(route.request.method)
        if tries.count("POST") in (1, 2):
            route.fulfill(status=503, body="{}")
        else:
            route.continue_()

    opened.route("**/api/v1/devices/", failing)
    said = opened.evaluate(
        """async (account) => {
            const { RedrivePush } = await import(document.getElementById("this-browser").dataset.module);
            window.client = new RedrivePush({ account, retries: [0.01, 0.02, 0.03] });
            client.serverKey = (await (await fetch("/api/v1/devices/")).json()).vapid_public_key;
            return (await client.subscribe()).status;
        }""",
        str(anna.pk),
    )
    assert (said, tries.count("POST")) == ("pending", 3), "its own request by the schedule"
    first = PushDevice.objects.get()

    opened.evaluate(
        """async () => {
            const { pushManager } = await navigator.serviceWorker.ready;
            await (await pushManager.getSubscription()).unsubscribe();
            await client.keep();
        }"""
    )
    until(opened, lambda: PushDevice.objects.filter(status__in=LIVE).exclude(pk=first.pk).exists())
    first.refresh_from_db()
    assert first.status_reason == "replaced", "a subscription that is gone is made anew when the page is opened"

    # The browser itself replaces it, and nobody is logged in: `pushsubscriptionchange` in the worker.
    second = PushDevice.objects.get(status__in=LIVE)
    browser.clear_cookies()
    opened.goto("about:blank")
    in_worker(
        browser,
        """async () => { const old = await registration.pushManager.getSubscription(); const options = old.options;
        await old.unsubscribe(); const fresh = await registration.pushManager.subscribe(options);
        const event = new ExtendableEvent("pushsubscriptionchange");
        Object.defineProperty(event, "newSubscription", { value: fresh }); dispatchEvent(event); }""",
    )
    until(opened, lambda: PushDevice.objects.filter(status__in=LIVE).exclude(pk=second.pk).exists())
    second.refresh_from_db()
    assert second.status_reason == "replaced"


def test_who_says_no_is_told_how_to_change_it_and_who_is_on_can_be_off(
    browser: Any, opened: Any, live_server: Any, anna: User
):
    opened.get_by_role("button", name="Turn on notifications here").click()
    opened.locator("#this-browser[data-state=on]").wait_for()
    opened.get_by_role("button", name="Turn them off here").click()
    opened.locator("#this-browser[data-state=off]").wait_for()
    assert (PushDevice.objects.get().status, PushDevice.objects.get().status_reason) == ("unregistered", "opted_out")
    assert opened.evaluate("navigator.serviceWorker.ready.then((r) => r.pushManager.getSubscription())") is None
    opened.get_by_role("button", name="Turn on notifications here").click()
    opened.locator("#this-browser[data-state=on]").wait_for()
    opened.get_by_role("button", name="Remove Chrome on Linux").click()
    opened.locator("#this-browser[data-state=off]").wait_for()
    opened.get_by_role("button", name="Turn on notifications here").click()
    opened.locator("#this-browser[data-state=on]").wait_for()
    PushDevice.objects.update(status="unregistered", status_reason="logged_out")
    opened.reload()
    until(opened, lambda: PushDevice.objects.filter(status="pending").exists())
    denied = browser.new_cdp_session(opened)
    denied.send(
        "Browser.setPermission",
        {"permission": {"name": "notifications"}, "setting": "denied", "origin": live_server.url},
    )
    opened.reload()
    opened.locator("#this-browser[data-state=denied]").wait_for()
    assert "are blocked for this site" in opened.locator("#this-said").inner_text()
    until(opened, lambda: not PushDevice.objects.filter(status__in=LIVE).exists())


def test_the_page_fits_and_can_be_used(page: Any, log_in: Callable[[Any], Any], anna: User, settings: Settings):
    settings.VAPID_PRIVATE_KEY = VAPID_PRIVATE_KEY
    for number, status in enumerate(DeviceStatus.values):
        given = Given(transport="fcm", address=token())
        about = {"name": f"Phone number {number} with a rather long name", "platform": "android"}
        made = registration.register(wish=wish(anna, given, installation=f"i{number}", **about), now=timezone.now())
        PushDevice.objects.filter(pk=made.device.pk).update(status=status)
    log_in(anna)
    for scheme, width in (("light", 1440), ("dark", 360)):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.goto(PAGE)
        page.locator("#this-browser[data-state]").wait_for()
        page.get_by_text("Earlier devices (2)").click()
        for details in page.get_by_text("What happened to it").all():
            details.click()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/devices-{scheme}-{width}.png", full_page=True)
    page.get_by_label("News").uncheck()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Saved.").wait_for()
    assert not page.get_by_label("News").is_checked()
    page.get_by_role("button", name="Remove Phone number 0").click()
    page.get_by_text("gets no more notifications").wait_for()
