"""In a real browser: the pages of measures fit every screen, light and dark; ranges and tables work by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from config.demo import measures
from queues.monitor import rollup
from tests.queues.desk.people import person
from tests.queues.desk.test_browser import wider_than_screen

pytestmark = [pytest.mark.browser, pytest.mark.once]

PAGES = ("levels/", "levels/email.accepted/?range=30d", "throughput/?range=7d", "workers/", "limits/")


@pytest.fixture
def past(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's own history: what it shows must be full."""
    monkeypatch.setattr(rollup, "BUDGET_SECONDS", 5.0)
    assert measures.load(now=timezone.now()) > 10_000
    assert measures.load(now=timezone.now()) == 0


@pytest.mark.usefixtures("past")
def test_the_pages_fit_and_are_never_blank(page: Any, log_in: Callable[[Any], Any], settings: Any):
    settings.STATUS_PAGE = True
    cache.clear()
    log_in(person("operator"))
    for width, scheme in ((360, "dark"), (1440, "light")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        for path in PAGES:
            page.goto(f"/admin/monitor/{path}")
            assert not wider_than_screen(page), (path, width)
            graphs = page.locator("svg.graph")
            if "limits" not in path and "workers" not in path:
                assert graphs.count() >= 4, path
                assert all(graph.get_attribute("aria-label") for graph in graphs.all())
        page.goto("/status/")
        assert not wider_than_screen(page)
        assert page.get_by_role("img", name="E-mail, the last 90 days").count() == 1

    page.goto("/admin/monitor/throughput/")
    page.get_by_role("link", name="7 days").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**range=7d")
    assert page.get_by_role("link", name="7 days").get_attribute("aria-current") == "true"
    first = page.locator("details summary", has_text="numbers as a table").first
    first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".graph-table tbody tr").first.is_visible()
    page.get_by_role("link", name="Service levels", exact=True).last.click()
    page.get_by_role("link", name="E-mail accepted within 5 minutes").click()
    assert page.get_by_role("heading", name="What spent the budget").is_visible()
