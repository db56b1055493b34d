"""Operations in a real browser: prepared, started, watched without reloading, aborted; on every screen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from queues.desk.bulk import freeze, run
from queues.desk.bulk.operation import Operation
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.email.models import EmailMessage
from queues.engine.states import Status
from tests.queues.desk.people import mail, person
from tests.queues.desk.test_browser import wider_than_screen

pytestmark = [pytest.mark.browser, pytest.mark.once]

BASE = "/admin/queues/operation/"


def step(operation: Operation, seconds: int = 0) -> None:
    run.step(operation_id=operation.pk, now=timezone.now() + timedelta(seconds=seconds))


def test_it_is_prepared_started_watched_and_aborted(page: Any, log_in: Callable[[Any], Any]):
    [mail() for _ in range(4)]
    log_in(person("operator")).goto("/admin/queues/emailmessage/act/redrive/?status=dead_letter")
    page.get_by_role("button", name="as an operation").click()
    page.get_by_role("heading", name="4 will be redriven").wait_for()
    page.get_by_label("Reason").fill("server repaired")
    page.get_by_label("Items a minute").fill("60")
    page.get_by_label("Try a few first").uncheck()
    page.get_by_role("button", name="Start: redrive 4").click()
    page.get_by_role("heading", name="0 of 4").wait_for()
    operation = Operation.objects.get()
    step(operation)
    page.get_by_role("heading", name="1 of 4").wait_for()
    page.get_by_label("Reason").fill("wrong filter")
    step(operation, seconds=2)
    page.get_by_role("heading", name="2 of 4").wait_for()
    assert page.get_by_label("Reason").input_value() == "wrong filter", "what is typed outlives the figures"
    page.get_by_role("button", name="Abort it here").click()
    page.get_by_text("Aborted by operator: wrong filter").wait_for()
    assert EmailMessage.objects.filter(status=Status.DEAD_LETTER).count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_every_page_fits_the_screen(page: Any, log_in: Callable[[Any], Any], width: int, scheme: str):
    user = person("operator")
    [mail(recipient="a" * 60 + f"{number}@" + "b" * 60 + ".example", last_code="c" * 90) for number in range(12)]
    mail(bodies_removed_at=timezone.now(), last_code="c" * 90)
    said: dict[str, Any] = {"act": "redrive", "queue": "email", "actor": Actor.of(user), "now": timezone.now()}
    prepared, running, halted = (
        freeze.prepare(selection=Selection(status="dead_letter", code="c" * 90), **said) for _ in range(3)
    )
    for operation in (running, halted):
        begun: dict[str, Any] = {"reason": "w" * 400, "pace": 600, "canary": True, "now": timezone.now()}
        run.start(operation_id=operation.pk, actor=Actor.of(user), **begun)
        step(operation)
    for seconds in range(5, 60, 5):
        EmailMessage.objects.filter(status=Status.PENDING).update(status=Status.RETRYING, attempts=1)
        step(halted, seconds)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    log_in(user)
    for path in ("", *(f"{operation.pk}/change/" for operation in (prepared, running, halted))):
        page.goto(f"{BASE}{path}")
        assert not wider_than_screen(page), path
    page.goto("/admin/queues/emailmessage/act/snooze/?status=waiting")
    assert not wider_than_screen(page)
