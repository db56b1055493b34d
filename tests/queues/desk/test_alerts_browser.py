"""Alerts in a real browser: readable at every width, light and dark, by everyone; acknowledged from the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from queues.monitor.models import Alert, AlertDelivery, Silence
from tests import accessible
from tests.queues.desk.people import person
from tests.queues.desk.test_browser import wider_than_screen

pytestmark = [pytest.mark.browser, pytest.mark.once]
LIST = "/admin/queues/alert/"


def alarms() -> Alert:
    """Three alerts, a message that failed, a silence."""
    now = timezone.now()
    times = {"pending_at": now - timedelta(minutes=31), "firing_at": now - timedelta(minutes=30), "evaluated_at": now}
    Alert.objects.create(rule="dead_letters", scope="email", severity="ticket", state="acknowledged", **times)
    Alert.objects.create(rule="clock_skew", severity="ticket", state="pending", pending_at=now, evaluated_at=now)
    row = Alert.objects.create(
        rule="provider_stopped",
        scope="smtp:mail.example.com:587",
        severity="page",
        state="firing",
        words="smtp:mail.example.com:587 failed 27 times in a row: 421 4.3.2 too busy to take anything from anybody",
        values={"failures": 27, "capability": "E-mail", "path": "/admin/queues/breaker/"},
        last_sent_at=now - timedelta(minutes=30),
        **times,
    )
    told = {"alert": row, "kind": "firing", "created_at": now, "subject": "[page] Firing"}
    AlertDelivery.objects.create(key="a", channel="mail", to="ops@example.com", last_words="connection refused", **told)
    AlertDelivery.objects.create(
        key="b", channel="webhook", to="hooks.slack.com", last_words="200 ok", sent_at=now, **told
    )
    Silence.objects.create(rule="queue_behind", reason="moving house", created_at=now, until=now + timedelta(hours=4))
    return row


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_the_pages_are_readable(page: Any, log_in: Callable[[Any], Any], width: int, scheme: str):
    row = alarms()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    log_in(person("operator"))
    for address in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/silence/", "/admin/queues/alertdelivery/"):
        page.goto(address)
        assert not wider_than_screen(page), address
        assert accessible.violations(page) == [], address


def test_acknowledged_from_the_keyboard(page: Any, log_in: Callable[[Any], Any]):
    row = alarms()
    log_in(person("operator")).goto(f"{LIST}{row.pk}/change/")
    page.get_by_role("link", name="Acknowledge …").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").fill("I call them")
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_text("You look after").wait_for()
    assert Alert.objects.get(pk=row.pk).state == "acknowledged"
