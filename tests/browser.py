"""The browser of the browser tests: `page`, a real Chromium on the live server; mark such tests `browser`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from tests import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

TIMEOUT = 15_000
"""Milliseconds until the browser gives up waiting for what a test expects; two cores may be busy elsewhere."""


class Complaints(list[str]):
    """What the browser complained about: script errors, violated policies, answers 5xx."""


@pytest.fixture
def complaints() -> Complaints:
    """The complaints of this test's page; `page` fails the test at its end if there are any left in it."""
    return Complaints()


@pytest.fixture
def page(live_server: Any, complaints: Complaints, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A fresh page: relative addresses go to the live server.

    Started anew for each test: Playwright's loop would otherwise seem to run in every later test of this process.
    """
    from playwright.sync_api import sync_playwright

    # Playwright keeps a loop running in this thread, which Django takes for asynchronous code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.path(), args=["--no-sandbox"])
        context = browser.new_context(base_url=live_server.url)
        context.set_default_timeout(TIMEOUT)
        opened = context.new_page()
        opened.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        opened.on("response", lambda got: complaints.append(f"{got.status} {got.url}") if got.status >= 500 else None)
        yield opened
        connections.close_all()  # this loop's own, which nobody sees once it has ended
        context.close()
        browser.close()
    assert list(complaints) == []


@pytest.fixture
def log_in(page: Page, client: Any, live_server: Any) -> Callable[[Any], Page]:
    """Log a user in without the form: `log_in(user)` returns the page."""

    def enter(user: Any) -> Page:
        client.force_login(user)
        cookie = client.cookies["sessionid"]
        page.context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])
        return page

    return enter
