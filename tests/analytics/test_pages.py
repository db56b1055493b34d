"""The pages as a customer sees them: from an event to a figure with its badge."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from django.test import Client

from tests.analytics.world import NOW, UNIT, campaign, event, person, tell

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _stopped() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def test_an_event_becomes_a_figure_on_a_page(client: Client):
    anna = person("anna")
    of = campaign(anna, name="Spring & Co")
    tell(of, *[event(of, cost_micros=2 * UNIT) for _ in range(1234)], event(of, "click"))
    client.force_login(anna)
    answer = client.get(f"/analytics/campaigns/{of.pk}/")
    assert answer.status_code == 200, answer.content
    page = answer.content.decode()
    assert "Spring &amp; Co" in page
    assert '<span class="number">1,234</span>' in page
    assert '<span class="number">€2,468.00</span>' in page
    assert page.count("badge-fresh") == 8
    assert "Includes everything recorded by 14:35." in page
