"""In a real browser: log in, find the dead letters, redrive them; on a phone and a wide screen, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queues.desk.ledger import LedgerEntry
from queues.email.models import EmailMessage, Suppression
from queues.engine.states import Status
from tests.browser import Complaints
from tests.queues.desk.people import mail, person

pytestmark = [pytest.mark.browser, pytest.mark.once]

LIST = "/admin/queues/emailmessage/"


def wider_than_screen(page: Any) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_an_operator_logs_in_and_redrives(page: Any):
    person("operator")
    dead = [mail(recipient=f"dead{number}@example.com") for number in range(3)]
    mail(Status.SUCCEEDED, recipient="sent@example.com")
    page.goto("/admin/")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Log in").click()

    page.get_by_role("link", name="3 dead letters").click()
    assert page.get_by_text("sent@example.com").count() == 0
    page.get_by_label(f"Choose e-mail {dead[0].pk}", exact=True).check()
    page.get_by_label(f"Choose e-mail {dead[2].pk}", exact=True).check()
    page.get_by_text("2 chosen:").wait_for()
    page.get_by_role("region", name="Chosen rows").get_by_role("button", name="Redrive").click()

    page.get_by_role("heading", name="2 will be redriven").wait_for()
    page.get_by_role("button", name="Redrive 2").click()  # the browser itself asks for the reason
    assert LedgerEntry.objects.count() == 0
    page.get_by_label("Reason").fill("mail server repaired")
    page.get_by_role("button", name="Redrive 2").click()

    page.get_by_text("2 e-mails redriven.").wait_for()
    assert page.get_by_text("dead1@example.com").count() == 1, "back in the filtered list"
    assert sorted(EmailMessage.objects.filter(status=Status.PENDING).values_list("pk", flat=True)) == [
        dead[0].pk,
        dead[2].pk,
    ]
    assert LedgerEntry.objects.get().reason == "mail server repaired"


def test_one_box_chooses_the_page(page: Any, log_in: Callable[[Any], Any]):
    [mail() for _ in range(3)]
    log_in(person("operator")).goto(LIST)
    every = page.get_by_label("Choose all rows of this page")
    every.check()
    page.get_by_text("3 chosen:").wait_for()
    every.uncheck()
    page.get_by_role("region", name="Chosen rows").wait_for(state="hidden")


def test_by_keyboard_alone(page: Any, log_in: Callable[[Any], Any]):
    item = mail()
    log_in(person("operator")).goto(f"{LIST}{item.pk}/change/")
    page.get_by_role("link", name="Redrive …", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="1 will be redriven").wait_for()
    page.wait_for_function("document.activeElement.name === 'reason'")
    page.keyboard.type("by hand")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("1 e-mail redriven.").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_fits_the_screen(page: Any, log_in: Callable[[Any], Any], width: int, scheme: str):
    long = "a" * 60 + "@" + "b" * 60 + ".example"
    item = mail(recipient=long, subject="word " * 40 + "x" * 200, last_code="c" * 100, last_words="w" * 900)
    row = Suppression.objects.create(address=long, cause="manual", words="w" * 300)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    log_in(person("operator"))
    pages = ("", f"{LIST[7:]}", f"{LIST[7:]}{item.pk}/change/", f"{LIST[7:]}act/redrive/?id={item.pk}")
    more = (f"queues/suppression/{row.pk}/lift/", "queues/suppression/suppress/", "queues/pause/email/pause/")
    for path in (*pages, *more, "queues/ledgerentry/", "queues/ratecounter/"):
        page.goto(f"/admin/{path}")
        assert not wider_than_screen(page), path


def test_a_preview_asks_nothing_of_the_world(page: Any, log_in: Callable[[Any], Any], complaints: Complaints):
    asked: list[str] = []
    html = """
        <link rel="stylesheet" href="https://tracker.example/s.css"><link rel="preconnect" href="https://tracker.example">
        <meta http-equiv="refresh" content="0;url=https://tracker.example/gone"><base href="https://tracker.example/">
        <style>@import url(https://tracker.example/i.css);p { background: url(https://tracker.example/b) }</style>
        <img src="https://tracker.example/p.gif"><iframe src="https://tracker.example/f"></iframe>
        <video src="https://tracker.example/v.mp4" autoplay></video><object data="https://tracker.example/o"></object>
        <script>top.document.title = "taken"</script><form action="https://tracker.example/"><input name="a"></form>
        <h1>The mail</h1>
    """
    item = mail(html=html)
    log_in(person("operator"))
    page.context.on("request", lambda request: asked.append(request.url))
    page.context.on("response", lambda response: asked.append(f"answered {response.url}"))
    page.goto(f"{LIST}{item.pk}/change/")
    page.get_by_role("button", name="Show the contents").click()
    page.frame_locator("iframe.desk-preview").get_by_role("heading", name="The mail").wait_for()
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if url.startswith("answered") and "tracker.example" in url] == []
    assert "taken" not in page.title()
    assert "/change/?seen=" in page.url
    # Each of them is the browser saying that it blocked something.
    assert all("tracker.example" in said or "Blocked script execution" in said for said in complaints), complaints
    complaints.clear()
