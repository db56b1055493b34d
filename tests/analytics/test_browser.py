"""In a real browser: what fails leaves the old figures standing, whatever the failure; keyboard, phone, paper, dark."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.utils import timezone

from analytics import board, drill, fuse, rollups
from analytics.models import Campaign, Delay, PanelSnapshot
from tests import accessible
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


def test_an_open_page_takes_new_figures_and_keeps_focus_scroll_and_choices(opened: Any, spring: Campaign):
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
    # Choosing and sorting by keyboard.
    opened.locator("#panel-breakdown").get_by_role("link", name="device").focus()
    opened.keyboard.press("Enter")
    opened.locator("#panel-breakdown th", has_text="Device").wait_for()
    assert opened.evaluate("document.activeElement.textContent") == "device", "the focus stays where it was"
    opened.locator("#sort-breakdown-clicks").focus()
    opened.keyboard.press("Enter")
    opened.locator('#panel-breakdown th[aria-sort="descending"]', has_text="Clicks").wait_for()
    assert opened.locator("#panel-breakdown th", has_text="Device").count() == 1
    assert reached_by_tab(opened) >= {"Refresh now", "Pause updates", "CSV of Delivery", "7 days", "Clicks", "device"}
    opened.emulate_media(media="print")
    assert not opened.get_by_role("button", name="Refresh now").is_visible()
    assert opened.locator("#panel-delivery .badge").is_visible(), "on paper the state is said too"
    assert opened.locator("#panel-delivery .panel-line").is_visible()


def reached_by_tab(page: Any) -> set[str]:
    """What the Tab key comes to, from the top."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0); getSelection().collapse(document.body, 0)")
    found = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        found.add(page.evaluate("document.activeElement.textContent.trim().replace(/ ▼$/, '')"))
    return found


LEFT = "could not be refreshed. Earlier figures are still shown."


ANSWERS: dict[str, dict[str, Any] | None] = {
    "500": {"status": 500, "body": "<section id='panel-delivery' data-panel>0</section>"},
    "log-in page": {"status": 200, "content_type": "text/html", "body": LOG_IN},
    "nothing in it": {"status": 200, "content_type": "text/html", "body": ""},
    "no longer yours": {"status": 404, "content_type": "text/html", "body": LOG_IN},
    "hang": None,
}


def answer(given: dict[str, Any] | None, route: Any) -> None:
    """As it is given, or never."""
    if given is not None:
        route.fulfill(**given)


def test_a_failure_leaves_the_old_figures_and_says_so(opened: Any, spring: Campaign, complaints: Complaints):
    """Each kind one after the other on one open page, and recovery after each: by itself, or by "Try again"."""
    delivery, said = opened.locator("#panel-delivery"), opened.get_by_role("status")
    again = delivery.get_by_role("link", name="Try again")
    shown = 90
    for kind in ANSWERS:
        more(spring, 10)

        opened.route(PANEL, partial(answer, ANSWERS[kind]))
        cycle(opened)
        said.get_by_text(f"1 of 9 panels {LEFT}").wait_for(timeout=20_000)
        assert ("You no longer have access" in said.inner_text()) == (kind == "no longer yours")
        assert delivery.locator(".number").first.inner_text() == str(shown), kind
        assert "Saved copy," in delivery.locator(".badge").inner_text()
        assert opened.locator("#panel-spend .badge-fresh").count() == 1, "the others are untouched"
        assert not opened.locator("#panel-spend .again").is_visible()
        if kind == "500":
            again.focus()
            opened.keyboard.press("Enter")
            said.get_by_text("This could not be loaded. Earlier figures are still shown.").wait_for()
        opened.unroute(PANEL)
        shown += 10
        if kind == "hang":
            again.focus()
            opened.keyboard.press("Enter")
        else:
            cycle(opened)
            said.get_by_text("All panels are up to date again.").wait_for()
        delivery.locator(".number", has_text=str(shown)).wait_for()
        delivery.locator(".badge-fresh").wait_for()
    assert opened.locator("#panel-spend .number").first.inner_text() == "€90.00"
    # Each of them is the browser saying what we made happen.
    assert all("Failed to load resource" in said or said.startswith("500 ") for said in complaints), complaints
    complaints.clear()


def test_off_line_the_figures_stay_and_come_back_by_themselves(opened: Any, spring: Campaign, complaints: Complaints):
    more(spring, 10)
    until = opened.locator("#panel-delivery").get_attribute("data-until")
    opened.context.set_offline(True)
    opened.get_by_text(f"You are offline. Figures below were current at {until}; they update when you are").wait_for()
    cycle(opened)
    opened.get_by_text(f"You are offline. 9 of 9 panels {LEFT}").wait_for()
    assert opened.locator("#panel-delivery .number").first.inner_text() == "90"
    assert opened.locator(".panel .badge-saved").count() == 9
    opened.context.set_offline(False)  # the browser itself says that it is back
    opened.locator("#panel-delivery .number", has_text="100").wait_for()
    opened.get_by_text("All panels are up to date again.").wait_for()
    assert all("Failed to load resource" in said for said in complaints), complaints
    complaints.clear()


def test_figures_grow_old_on_a_page_that_stays_open_and_pausing_stops_the_updates(opened: Any):
    opened.clock.install(time=timezone.now())
    opened.reload()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url) if "/panels/" in request.url else None)
    opened.clock.fast_forward("04:20")
    pause = opened.get_by_role("button", name="Pause updates")
    pause.focus()
    opened.keyboard.press("Enter")
    opened.get_by_text("Updates are paused.").wait_for()
    assert pause.get_attribute("aria-pressed") == "true"
    opened.clock.fast_forward("03:40")
    opened.locator("#panel-delivery .badge-stale", has_text="8 min old").wait_for()
    assert opened.locator("#panel-delivery .number").first.inner_text() == "90"
    assert asked == []
    opened.keyboard.press("Enter")
    opened.get_by_text("Updates go on.").wait_for()
    opened.clock.fast_forward("06:00")
    opened.get_by_text("Figures refreshed.").wait_for()
    assert len(asked) == 9


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


WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def test_every_page_fits_every_screen_and_is_axe_clean(opened: Any, spring: Campaign, complaints: Complaints):
    """Also with a banner, saved copies, panels without figures, hatched days, and dates that are refused."""
    Delay.objects.create(
        campaign=spring,
        began_at=timezone.now() - timedelta(days=3),
        ended_at=timezone.now() - timedelta(days=3) + timedelta(minutes=9),
    )
    page = f"/analytics/campaigns/{spring.pk}/"
    for name in ("spend", "days", "creatives"):
        drill.begin(panel=name, kind="bug", now=timezone.now())
    PanelSnapshot.objects.filter(panel="creatives").delete()
    for _ in range(2):
        rollups.refresh(now=timezone.now())
        PanelSnapshot.objects.update(next_try_at=None)
        opened.goto(page)
    assert opened.locator(".banner-delayed").count() == 1
    assert opened.locator(".badge-unavailable").count() == 1
    seen: list[str] = []
    for path in (page, "/analytics/", f"{page}?days=400"):
        for width in (360, 1440):
            opened.set_viewport_size({"width": width, "height": 800})
            opened.goto(path)
            assert not opened.evaluate(WIDE), (path, width)
            assert opened.locator("h1").count() == 1
        opened.emulate_media(color_scheme="light")
        seen += [f"{path} light: {line}" for line in accessible.violations(opened)]
        opened.emulate_media(color_scheme="dark")
        seen += [f"{path} dark: {line}" for line in accessible.violations(opened, rules=accessible.COLOURS)]
    assert seen == []
    assert all("422" in said for said in complaints), complaints
    complaints.clear()


def test_a_page_is_light_enough_for_a_telephone(spring: Campaign, client: Any):
    """By the design's aims: 45 kB of HTML and 3 kB of script, as they travel; and no style or script in the page."""
    client.force_login(spring.owner)
    answer = client.get(f"/analytics/campaigns/{spring.pk}/?days=90", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.content) < 45_000
    script = Path(finders.find("analytics/panels.js")).read_bytes()
    assert len(gzip.compress(script)) < 3_000
