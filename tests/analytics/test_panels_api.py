"""The figures as JSON: their shape, their age, and what is answered when there is little or nothing to show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from analytics import board, fuse, rollups
from analytics.models import Campaign
from analytics.panels.page import ALL, PANELS
from tests.analytics.world import NOW, UNIT, campaign, event, person, tell
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(board, "PATIENCE", timedelta(seconds=10))
    fuse.FUSE.succeeded()
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller
    fuse.FUSE.succeeded()


@pytest.fixture
def anna() -> Program:
    return Program(user=person("anna"))


@pytest.fixture
def spring(anna: Program) -> Campaign:
    of = campaign(anna.user, name="Spring", time_zone="Europe/Berlin")
    tell(of, *[event(of, at=NOW - timedelta(hours=2), cost_micros=UNIT) for _ in range(8)])
    return of


def panels(of: Campaign, name: str = "") -> str:
    return f"/api/v1/campaigns/{of.pk}/panels/" + (f"{name}/" if name else "")


def test_one_panel_has_its_figures_age_and_comparison(anna: Program, spring: Campaign):
    answer = anna.get(panels(spring, "delivery"), {"days": "7"})
    assert answer.status_code == 200
    told = answer.json()
    assert {name: told[name] for name in ("panel", "state", "age_seconds", "stale_after_seconds", "problem")} == {
        "panel": "delivery",
        "state": "fresh",
        "age_seconds": 0,
        "stale_after_seconds": 300,
        "problem": None,
    }
    assert told["as_of"] == NOW.isoformat().replace("+00:00", "Z")
    assert told["comparison"]["basis"] == "same hours"
    impressions, _clicks, ctr = told["data"]["figures"]
    assert (impressions["value"], ctr["value"]) == (8, 0.0)
    cost = anna.get(panels(spring, "spend"), {"days": "7"}).json()["data"]["figures"]
    assert [each["value"] for each in cost] == [8 * UNIT, UNIT * 1000, None, None]
    assert [each.get("reason") for each in cost] == [None, None, "no_clicks", "no_conversions"]


def test_several_panels_come_in_their_order(anna: Program, spring: Campaign):
    told = anna.get(panels(spring), {"names": "pacing,delivery,pacing"}).json()
    assert [each["panel"] for each in told["panels"]] == ["pacing", "delivery"]
    assert (told["name"], told["currency"], told["time_zone"]) == ("Spring", "eur", "Europe/Berlin")
    assert [each["panel"] for each in anna.get(panels(spring)).json()["panels"]] == list(PANELS)


def test_what_is_known_already_is_not_sent_again(anna: Program, spring: Campaign, clock: Any):
    first = anna.get(panels(spring, "delivery"))
    tag = first.headers["ETag"]
    clock.move_to(NOW + timedelta(seconds=20))
    again = anna.client.get(panels(spring, "delivery"), headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["Age"]) == (304, b"", "20")
    rollups.refresh(now=NOW + timedelta(seconds=30))
    clock.move_to(NOW + timedelta(seconds=31))
    assert anna.client.get(panels(spring, "delivery"), headers={"If-None-Match": tag}).status_code == 200


def test_nothing_to_show_is_503_with_when_again(anna: Program):
    of = campaign(anna.user)
    answer = anna.get(panels(of))
    assert problem(answer)["code"] == "no_figures"
    assert answer.headers["Retry-After"] == "10"


def test_a_failure_with_nothing_saved_spoils_that_panel_alone(
    anna: Program, spring: Campaign, monkeypatch: pytest.MonkeyPatch
):
    def compute(question: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(ALL, "spend", dataclasses.replace(ALL["spend"], compute=compute))
    told = {each["panel"]: each for each in anna.get(panels(spring)).json()["panels"]}
    assert (told["spend"]["state"], told["spend"]["data"]) == ("unavailable", None)
    assert told["spend"]["problem"]["code"] == "internal"
    assert told["spend"]["problem"]["reference"]
    assert told["delivery"]["state"] == "fresh"
    assert anna.get(panels(spring, "spend")).status_code == 503


def test_refreshing_is_allowed_once_in_fifteen_seconds(anna: Program, spring: Campaign):
    path = f"/api/v1/campaigns/{spring.pk}/refresh/"
    assert anna.post(path, {}).status_code == 202
    refused = anna.post(path, {})
    assert problem(refused)["code"] == "throttled"
    assert 1 <= int(refused.headers["Retry-After"]) <= 16


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"days": "120"}, "You asked for 120"),
        ({"from": "2026-03-10", "to": "2026-03-01"}, "after the end date"),
        ({"names": "delivery,secrets"}, "no panel 'secrets'"),
        ({"breakdown.by": "password"}, "no such choice"),
    ],
)
def test_what_cannot_be_shown_is_422(anna: Program, spring: Campaign, query: dict[str, str], words: str):
    told = problem(anna.get(panels(spring), query))
    assert (told["status"], told["code"]) == (422, "range_invalid")
    assert words in told["detail"]


def test_a_breakdown_comes_in_pages(anna: Program, spring: Campaign):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    tell(spring, *[event(spring, country=f"Z{letter}") for letter in letters for _ in range(1 + (letter < "C"))])
    seen, after = [], ""
    while True:
        query = {"breakdown.by": "country", **({"breakdown.after": after} if after else {})}
        data = anna.get(panels(spring, "breakdown"), query).json()["data"]
        seen += [row["value"] for row in data["rows"]]
        after = data["after"]
        if not after:
            break
        assert len(data["rows"]) == 20
    assert seen == ["", "ZA", "ZB", *[f"Z{letter}" for letter in letters[2:]]]
