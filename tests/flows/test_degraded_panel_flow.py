"""Flow 4: a page shows what was recorded; its queries fail, the old figures stay and say so; it recovers by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django_q.models import OrmQ

from analytics import board, drill, fuse, tasks
from analytics.panels.page import PANELS
from tests.analytics.test_failures import numbers, states
from tests.analytics.world import NOW, PATH, UNIT, campaign, event, person, program

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(board, "PATIENCE", timedelta(seconds=10))
    fuse.FUSE.succeeded()
    yield
    fuse.FUSE.succeeded()


def test_the_figures_never_go_blank(client: Client):
    anna = person("anna")
    of = campaign(anna, name="Spring", time_zone="Europe/Berlin", budget=500 * UNIT)
    product = program()
    client.force_login(anna)
    page = f"/analytics/campaigns/{of.pk}/"

    def record(number: int) -> None:
        told = product.post(PATH, {"events": [event(of, at=moment, cost_micros=UNIT) for _ in range(number)]}).json()
        assert told["accepted"] == number

    def minute(number: int) -> Any:
        """The clock of the minute: what the schedule runs."""
        clock.move_to(NOW + timedelta(minutes=number))
        return tasks.refresh_rollups(), tasks.refresh_watched()

    with time_machine.travel(NOW, tick=False) as clock:
        moment = NOW
        assert set(states(client.get(page).text).values()) == {"preparing"}, "before the first refresh"
        record(40)
        minute(1)
        first = client.get(page).text
        assert numbers(first)[0] == "40"
        assert "Includes everything recorded by 15:36." in first, "in the campaign's own time"

        # The database loses every query: the old figures stay, with their age, and the failures are counted.
        for name in PANELS:
            drill.begin(panel=name, kind="database", now=NOW)
        record(2)
        minute(2)
        second = client.get(page)
        assert second.status_code == 200
        assert numbers(second.text) == numbers(first)
        assert set(states(second.text).values()) == {"saved"}
        minute(3)
        third = client.get(page).text
        assert numbers(third) == numbers(first)
        assert "Some figures are delayed." in third
        assert "show confirmed data up to 15:36" in third
        answer = client.get(f"/api/v1/campaigns/{of.pk}/panels/delivery/")
        assert (answer.status_code, answer.json()["state"]) == (200, "saved")
        assert answer.json()["data"]["figures"][0]["value"] == 40
        assert answer.json()["problem"]["code"] == "database_unreachable"
        assert answer.headers["Cache-Status"] == "panels; hit; detail=database_unreachable"

        # It answers again: the minute's own work brings the figures up to date before anybody looks.
        drill.end()
        OrmQ.objects.all().delete()
        minute(4)
        fourth = client.get(page).text
        assert set(states(fourth).values()) == {"fresh", "empty"}
        assert numbers(fourth)[0] == "42"
        assert "Some figures are delayed." not in fourth
        assert "Updated again at 15:39." in fourth
        minute(6)
        assert "Updated again" not in client.get(page).text
