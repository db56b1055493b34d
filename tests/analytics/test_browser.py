"""In a real browser: what fails leaves the old figures standing, whatever the failure; keyboard, phone, paper, dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from analytics import board, fuse
from analytics.models import Campaign
from tests.analytics.world import UNIT, campaign, event, person, tell
from tests.browser import Complaints

pytestmark = [pytest.mark.browser, pytest.mark.once]

PANEL = re.compile(r"/panels/delivery/")
LOG_IN = "<!doctype html><title>Log in</title><h1>Log in</h1>"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(board, "PATIENCE", timedelta(seconds=10))
    fuse.FUSE.succeeded()
    yield
    fuse.FUSE.succeeded()


@pytest.fixture
def anna(transactional_db: None) -> User:
    return person("anna")


@pytest.fixture
def spring(anna: User) -> Campaign:
    of, now = campaign(anna, name="Spring " + "and a very long name " * 5, budget=900 * UNIT), timezone.now()
    tell(
        of,
        *[
            event(of, at=now - timedelta(days=day), creative="a", country="DE", cost_micros=UNIT, viewable=True)
            for day in range(30)
            for _ in range(3)
        ],
        event(of, "click", at=now, visitor="v"),
        event(of, "conversion", at=now, visitor="v", revenue_micros=5 * UNIT),
        now=now,
    )
    return of


@pytest.fixture
def opened(page: Any, log_in: Callable[[Any], Any], anna: User, spring: Campaign) -> Any:
    """The campaign's page, open."""
    log_in(anna).goto(f"/analytics/campaigns/{spring.pk}/")
    assert page.locator("#panel-delivery .number").first.inner_text() == "90"
    return page


def cycle(page: Any) -> None:
    """Let the page refresh itself, as it does when it is back on line."""
    page.evaluate("dispatchEvent(new Event('online'))")


def more(of: Campaign, number: int) -> None:
    """Further impressions, recorded and added up."""
    now = timezone.now()
    tell(of, *[event(of, at=now) for _ in range(number)], now=now)


def test_an_open_page_takes_new_figures_and_keeps_focus_and_scroll(opened: Any, spring: Campaign):
    opened.set_viewport_size({"width": 900, "height": 500})
    opened.locator("#sort-creatives-clicks").focus()
    opened.evaluate("scrollTo(0, 700)")
    opened.locator("#data-days summary").evaluate("each => each.parentElement.open = true")
    before = opened.evaluate("scrollY")
    more(spring, 10)
    cycle(opened)
    opened.locator("#panel-delivery .number", has_text="100").wait_for()
    opened.get_by_text("Figures refreshed.").wait_for()
    assert opened.evaluate("document.activeElement.id") == "sort-creatives-clicks"
    assert abs(opened.evaluate("scrollY") - before) < 5
    assert opened.evaluate("document.getElementById('data-days').open") is True


@pytest.mark.parametrize("kind", ["500", "hang", "log-in page", "offline", "nothing in it"])
def test_a_failure_leaves_the_old_figures_and_says_so(opened: Any, spring: Campaign, complaints: Complaints, kind: str):
    more(spring, 10)

    def answer(route: Any) -> None:
        match kind:
            case "500":
                route.fulfill(status=500, body="<section id='panel-delivery' data-panel>0</section>")
            case "log-in page":
                route.fulfill(status=200, content_type="text/html", body=LOG_IN)
            case "nothing in it":
                route.fulfill(status=200, content_type="text/html", body="")
            case "hang":
                pass

    if kind == "offline":
        opened.context.set_offline(True)
    else:
        opened.route(PANEL, answer)
    cycle(opened)
    opened.locator("#panel-delivery .badge-saved").wait_for(timeout=20_000)
    opened.get_by_text("could not be refreshed. Earlier figures are still shown.").wait_for()
    assert opened.locator("#panel-delivery .number").first.inner_text() == "90"
    assert "Saved copy," in opened.locator("#panel-delivery .badge").inner_text()
    if kind != "offline":
        assert opened.locator("#panel-spend .badge-fresh").count() == 1, "the others are untouched"
    opened.context.set_offline(False)
    opened.unroute(PANEL)
    cycle(opened)
    opened.locator("#panel-delivery .number", has_text="100").wait_for()
    opened.locator("#panel-delivery .badge-fresh").wait_for()
    opened.get_by_text("All panels are up to date again.").wait_for()
    # Each of them is the browser saying what we made happen.
    assert all("Failed to load resource" in said or said.startswith("500 ") for said in complaints), complaints
    complaints.clear()


def test_figures_grow_old_on_a_page_that_stays_open(opened: Any):
    opened.clock.install(time=timezone.now())
    opened.reload()
    opened.clock.fast_forward("04:20")
    opened.get_by_role("button", name="Pause updates").click()
    opened.clock.fast_forward("03:40")
    opened.locator("#panel-delivery .badge-stale", has_text="8 min old").wait_for()
    assert opened.locator("#panel-delivery .number").first.inner_text() == "90"


def test_pausing_stops_the_updates(opened: Any):
    opened.clock.install()
    opened.reload()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url) if "/panels/" in request.url else None)
    pause = opened.get_by_role("button", name="Pause updates")
    pause.focus()
    opened.keyboard.press("Enter")
    opened.get_by_text("Updates are paused.").wait_for()
    assert pause.get_attribute("aria-pressed") == "true"
    opened.clock.fast_forward("07:00")
    assert asked == []
    opened.keyboard.press("Enter")
    opened.get_by_text("Updates go on.").wait_for()
    opened.clock.fast_forward("06:00")
    opened.get_by_text("Figures refreshed.").wait_for()
    assert len(asked) == 9


def test_sorting_and_choosing_by_keyboard(opened: Any):
    link = opened.locator("#panel-breakdown").get_by_role("link", name="device")
    link.focus()
    opened.keyboard.press("Enter")
    opened.locator("#panel-breakdown th", has_text="Device").wait_for()
    assert opened.evaluate("document.activeElement.textContent") == "device", "the focus stays where it was"
    opened.locator("#sort-breakdown-clicks").click()
    opened.locator('#panel-breakdown th[aria-sort="descending"]', has_text="Clicks").wait_for()
    assert opened.locator("#panel-breakdown th", has_text="Device").count() == 1


def test_without_script_everything_is_there(
    browser_without_script: Any, anna: User, spring: Campaign, live_server: Any, client: Any
):
    page = browser_without_script
    client.force_login(anna)
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    page.goto(f"{live_server.url}/analytics/campaigns/{spring.pk}/")
    assert page.locator("#panel-delivery .number").first.inner_text() == "90"
    assert page.locator("svg.chart").count() == 5
    assert page.get_by_role("button", name="Pause updates").count() == 0
    page.locator("#panel-breakdown").get_by_role("link", name="device").click()
    page.locator("#panel-breakdown th", has_text="Device").wait_for()
    more(spring, 10)
    page.get_by_role("button", name="Refresh now").click()
    page.locator("#panel-delivery .number", has_text="100").wait_for()
    page.get_by_text("Refreshed just now.").wait_for()
    page.get_by_role("button", name="Refresh now").click()
    page.get_by_text("Just refreshed. You can refresh again in").wait_for()


@pytest.fixture
def browser_without_script(page: Any) -> Iterator[Any]:
    context = page.context.browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_fits_the_screen(opened: Any, spring: Campaign, complaints: Complaints, width: int, scheme: str):
    opened.set_viewport_size({"width": width, "height": 800})
    opened.emulate_media(color_scheme=scheme)
    for path in ("", f"campaigns/{spring.pk}/", f"campaigns/{spring.pk}/?days=400"):
        opened.goto(f"/analytics/{path}")
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not opened.evaluate(wide), path
        assert opened.locator("h1").count() == 1
    assert all("422" in said for said in complaints), complaints
    complaints.clear()


def test_on_paper_nothing_is_cut_off_and_no_buttons_are_left(opened: Any):
    opened.emulate_media(media="print")
    assert not opened.get_by_role("button", name="Refresh now").is_visible()
    assert opened.locator("#panel-delivery .badge").is_visible()
    assert opened.locator("#panel-delivery .panel-line").is_visible()
