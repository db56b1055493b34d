"""In a real browser: staff test a device and judge a quarantine; every page small and wide, light and dark."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from config.demo import pushes
from notifications.models import Lane, PushDelivery, PushDevice
from queues.desk.ledger import LedgerEntry
from tests.accessible import violations
from tests.notifications.sending.world import many
from tests.queues.desk.people import person

pytestmark = [pytest.mark.browser, pytest.mark.once]


def wider_than_screen(page: Any) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_an_operator_tests_a_device_and_judges_a_quarantine(page: Any, log_in: Callable[[Any], Any]):
    User.objects.create_user("customer")
    pushes.load(now=timezone.now())
    many(3, status="invalid", status_reason="refused", quarantined_at=timezone.now())
    Lane.objects.update(state="stopped", reason="mass invalidation", words="3 devices were called dead.")
    page.set_viewport_size({"width": 1600, "height": 900})
    log_in(person("operator")).goto("/admin/")
    page.get_by_role("link", name="Devices").click()
    page.get_by_role("link", name="Pixel").click()
    page.get_by_text("Pushes are sent to it.").wait_for()
    page.get_by_role("link", name="Send a test push …").click()
    page.get_by_label("Reason").fill("nothing comes, she says")
    page.get_by_role("button", name="Send a test push").click()
    page.get_by_text("A test push is on its way").wait_for()
    assert PushDelivery.objects.filter(purpose="test").count() == 1

    page.get_by_role("link", name="Lanes").click()
    page.get_by_role("link", name="Restore …").click()
    page.locator("#content").get_by_role("heading", name="Restore 3 devices").wait_for()
    page.get_by_label("Reason").fill("the key was wrong")
    page.get_by_role("button", name="Restore 3 devices").click()
    page.get_by_text("3 devices restored.").wait_for()
    assert not PushDevice.objects.filter(quarantined_at__isnull=False).exists()
    assert list(LedgerEntry.objects.order_by("pk").values_list("act", flat=True)) == [
        "test_device",
        "restore_quarantine",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_on_any_screen(page: Any, log_in: Callable[[Any], Any], scheme: str):
    User.objects.create_user("customer")
    pushes.load(now=timezone.now())
    many(2, status="invalid", status_reason="refused", quarantined_at=timezone.now())
    Lane.objects.update(state="stopped", reason="mass invalidation", words="2 devices were called dead.")
    pixel, watch = (PushDevice.objects.get(installation__name=name) for name in ("Pixel", "Watch"))
    failed = PushDelivery.objects.filter(status="dead_letter")[0]
    page.emulate_media(color_scheme=scheme)
    log_in(person("operator"))
    addresses = {
        "pushes": "/admin/notifications/pushdelivery/",
        "push": f"/admin/notifications/pushdelivery/{failed.pk}/change/",
        "devices": "/admin/notifications/pushdevice/",
        "device": f"/admin/notifications/pushdevice/{pixel.pk}/change/",
        "dead": f"/admin/notifications/pushdevice/{watch.pk}/change/",
        "unregister": f"/admin/notifications/pushdevice/{pixel.pk}/unregister/",
        "installation": f"/admin/notifications/installation/{pixel.installation_id}/change/",
        "lanes": "/admin/notifications/lane/",
        "release": f"/admin/notifications/lane/{Lane.objects.get().pk}/release/",
    }
    for name, address in addresses.items():
        page.goto(address)
        for width in (360, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert not wider_than_screen(page), (address, width)
            if folder := os.environ.get("SCREENSHOTS"):
                page.screenshot(path=f"{folder}/{name}-{scheme}-{width}.png", full_page=True)
        assert violations(page) == [], address
