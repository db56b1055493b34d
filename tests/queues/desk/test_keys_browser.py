"""In a real browser: the keyboard drives a list, pages live without reloads and hold still under the hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queues.email.models import EmailMessage
from queues.engine.states import Status
from queues.webhooks.models import WebhookEvent
from tests.queues.desk.people import mail, person
from tests.queues.desk.test_privacy import event

pytestmark = [pytest.mark.browser, pytest.mark.once]

LIST = "/admin/queues/emailmessage/"


def hurry(page: Any) -> None:
    """The pages ask every five seconds; the tests have not that long."""
    page.add_init_script("const slow = window.setTimeout; window.setTimeout = (f, t) => slow(f, t === 5000 ? 150 : t);")


def test_a_list_is_driven_by_the_keyboard(page: Any, log_in: Callable[[Any], Any]):
    items = [mail() for _ in range(3)]
    log_in(person("operator")).goto(f"{LIST}?status=dead_letter")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    sheet.wait_for()
    assert "redrive what is chosen" in sheet.inner_text()
    page.keyboard.press("Escape")
    sheet.wait_for(state="detached")
    for key in ("j", "j", "x"):
        page.keyboard.press(key)
    page.get_by_text("1 chosen:").wait_for()
    assert page.locator("tr.desk-at .desk-tick").input_value() == str(items[1].pk)
    page.keyboard.press("r")
    page.get_by_role("heading", name="1 will be redriven").wait_for()
    page.wait_for_function("document.activeElement.name === 'reason'")
    page.keyboard.type("jrx?")
    assert page.get_by_label("Reason").input_value() == "jrx?", "what is typed is no shortcut"
    page.goto(LIST)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.wait_for_url("**/admin/")


def test_shortcuts_can_be_turned_off(page: Any, log_in: Callable[[Any], Any]):
    mail()
    log_in(person("operator")).goto(LIST)
    page.keyboard.press("?")
    page.get_by_label("Shortcuts are on").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("j")
    assert page.locator("tr.desk-at").count() == 0


def test_the_start_page_lives(page: Any, log_in: Callable[[Any], Any]):
    hurry(page)
    mail()
    log_in(person("operator")).goto("/admin/")
    page.get_by_role("link", name="1 dead letters").wait_for()
    mail()
    page.get_by_role("link", name="2 dead letters").wait_for()


def test_a_list_lives_and_holds_still_while_rows_are_chosen(page: Any, log_in: Callable[[Any], Any]):
    hurry(page)
    item, other = mail(), mail()
    log_in(person("operator")).goto(LIST)
    EmailMessage.objects.filter(pk=other.pk).update(status=Status.PENDING)
    page.locator(f'tr:has([data-item="{other.pk}"]) .badge', has_text="Pending").wait_for()
    mail(Status.PENDING)
    page.get_by_role("link", name="1 newer: show").wait_for()
    page.get_by_label(f"Choose e-mail {item.pk}", exact=True).check()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    EmailMessage.objects.filter(pk=item.pk).update(status=Status.CANCELLED)
    page.wait_for_timeout(400)  # several times as often as it asks
    assert asked == [], "nothing is asked while rows are chosen"
    assert page.locator(f'tr:has([data-item="{item.pk}"]) .badge').inner_text() == "Dead letter"
    page.get_by_label(f"Choose e-mail {item.pk}", exact=True).uncheck()
    page.locator(f'tr:has([data-item="{item.pk}"]) .badge', has_text="Cancelled").wait_for()


def test_a_payload_is_searched_and_unmasked(page: Any, log_in: Callable[[Any], Any]):
    item: WebhookEvent = event()
    log_in(person("operator")).goto(f"/admin/queues/webhookevent/{item.pk}/change/")
    assert page.get_by_text("Anna Doe").count() == 0
    page.get_by_role("button", name="Show the contents").click()
    page.get_by_label("Search in it").fill("anna doe")
    page.get_by_text("1 found").wait_for()
    assert page.locator(".json-found", has_text="Anna Doe").is_visible()
    page.keyboard.press("Enter")
    page.get_by_text("1 of 1").wait_for()


def test_a_mail_is_edited_and_redriven(page: Any, log_in: Callable[[Any], Any]):
    item = mail(recipient="anna@exmaple.com")
    log_in(person("operator")).goto(f"{LIST}{item.pk}/change/")
    page.get_by_role("link", name="Edit and redrive").click()
    page.get_by_label("To").fill("anna@example.com")
    page.get_by_label("Reason").fill("typo")
    page.get_by_role("button", name="Show the difference").click()
    page.get_by_role("heading", name="This will be different").wait_for()
    page.get_by_role("button", name="Save and redrive").click()
    page.get_by_text("Edited and redriven. (Ledger entry").wait_for()
    assert EmailMessage.objects.get().recipient == "anna@example.com"
    assert page.locator("del", has_text="anna@exmaple.com").is_visible()
