"""In a real browser: the catcher's pages and the admin's shell draw themselves under their policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from config.demo.catcher import mailbox_file
from config.demo.mailbox import Mailbox, now
from tests.browser import Complaints
from tests.config.test_demo import letter

pytestmark = [pytest.mark.browser, pytest.mark.once]


def wider_than_screen(page: Any) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_catcher_on_a_small_screen(
    page: Any, complaints: Complaints, settings: Settings, tmp_path: Path, scheme: str
):
    """360 px, light and dark: nothing overflows, the frame is silent, the switch works."""
    settings.VAR_DIR, settings.ROOT_URLCONF = tmp_path, "tests.config.demo_urls"
    mailbox = Mailbox(mailbox_file(tmp_path))
    subject = "A very long subject " * 6 + "x" * 200
    mailbox.keep(
        sender="s@example.com",
        recipients=["a@b.example"],
        subject=subject,
        raw=bytes(letter()),
        answered=False,
        now=now(),
    )
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    page.goto("/demo/mail/")
    assert not wider_than_screen(page)
    page.get_by_role("button", name="Refuse for now (451)").click()
    page.get_by_text("0 turned away since").wait_for()
    assert mailbox.state().mode == "refuse_now"
    page.get_by_text("A very long subject").click()
    page.frame_locator("iframe").get_by_role("heading", name="Dear Anna").wait_for()
    assert not wider_than_screen(page)
    # The mail's own script is what the sandbox keeps from running; nothing else was complained about.
    assert [said[:24] for said in complaints] == ["Blocked script execution"]
    complaints.clear()


def test_the_admins_shell(log_in: Callable[[Any], Any], transactional_db: None):
    """Unfold's scripts run under the admin's policy, without one complaint of the browser."""
    page = log_in(User.objects.create_superuser("boss", password="x"))
    page.goto("/admin/")
    page.wait_for_function("window.Alpine !== undefined")
