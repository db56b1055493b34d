"""Events come in by the API: judged one by one, stored once, counted once."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError

from analytics import intake, rollups
from analytics.events_api import BODY_MAX, EVENTS_MAX
from analytics.models import Campaign, Event, RollupDelta, RollupHour
from tests.analytics.world import NOW, PATH, UNIT, campaign, differences, event, person, program
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _stopped() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def caller() -> Program:
    return program()


def post(caller: Program, *events: Any) -> Any:
    """The answer to a batch."""
    answer = caller.post(PATH, {"events": list(events)})
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_batch_is_stored_and_answered_in_order(caller: Program):
    of = campaign()
    good, bad = event(of, creative="a", country="DE", cost_micros=5000), event(of, "purchase")
    told = post(caller, good, bad)
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (1, 0, 1)
    assert [one["status"] for one in told["results"]] == ["accepted", "rejected"]
    assert told["results"][0]["event_id"] == good["event_id"]
    assert told["results"][1]["reason"] == "invalid_kind"
    row = Event.objects.get()
    assert (row.country, row.cost, row.received_at, row.creative.key) == ("DE", 5000, NOW, "a")


def test_the_same_batch_twice_changes_nothing(caller: Program):
    of = campaign()
    batch = [event(of, (number % 2 and "click") or "impression", cost_micros=7) for number in range(20)]
    assert post(caller, *batch)["accepted"] == 20
    again = post(caller, *batch, event(of))
    assert (again["accepted"], again["duplicates"]) == (1, 20)
    rollups.refresh(now=NOW)
    assert post(caller, *batch)["duplicates"] == 20
    rollups.refresh(now=NOW)
    assert RollupHour.objects.get().impressions == 11
    assert differences(of) == []


def test_the_same_event_twice_in_one_batch_counts_once(caller: Program):
    one = event(campaign())
    told = post(caller, one, dict(one, kind="click"))
    assert [each["status"] for each in told["results"]] == ["accepted", "duplicate"]
    assert Event.objects.get().kind == "impression"


def test_an_id_of_one_campaign_is_free_in_another(caller: Program):
    """Else one customer's ids could keep another one's events out."""
    first, second = campaign(), campaign()
    shared = str(uuid.uuid4())
    told = post(caller, event(first, event_id=shared), event(second, event_id=shared))
    assert told["accepted"] == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"occurred_at": (NOW + timedelta(minutes=5, seconds=1)).isoformat()}, "in_the_future"),
        ({"occurred_at": (NOW - timedelta(days=90, seconds=1)).isoformat()}, "too_old"),
        ({"occurred_at": "2026-03-11T14:00:00"}, "invalid_time"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "invalid_time"),
        ({"occurred_at": 1773239700}, "invalid_time"),
        ({"event_id": "not-a-uuid"}, "invalid_event_id"),
        ({"event_id": None}, "invalid_event_id"),
        ({"event_id": 7}, "invalid_event_id"),
        ({"campaign": 10**30}, "unknown_campaign"),
        ({"campaign": -1}, "unknown_campaign"),
        ({"campaign": "1"}, "unknown_campaign"),
        ({"campaign": True}, "unknown_campaign"),
        ({"campaign": [1]}, "unknown_campaign"),
        ({"kind": ["click"]}, "invalid_kind"),
        ({"creative": "z"}, "unknown_creative"),
        ({"creative": {}}, "unknown_creative"),
        ({"cost_micros": -1}, "invalid_money"),
        ({"cost_micros": 1.5}, "invalid_money"),
        ({"cost_micros": True}, "invalid_money"),
        ({"cost_micros": 10**12 + 1}, "invalid_money"),
        ({"revenue_micros": 5}, "invalid_money"),
        ({"country": "de"}, "invalid_country"),
        ({"country": "DE\n"}, "invalid_country"),
        ({"device": "toaster"}, "invalid_device"),
        ({"channel": 3}, "invalid_channel"),
        ({"visitor": "x" * 65}, "invalid_visitor"),
        ({"visitor": "é"}, "invalid_visitor"),
        ({"viewable": "yes"}, "invalid_viewable"),
        ({"kind": "click", "viewable": True}, "invalid_viewable"),
        ({"user_agent": []}, "malformed"),
        ({"prefetch": 1}, "malformed"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_stored(caller: Program, change: dict[str, Any], reason: str):
    told = post(caller, event(campaign()) | change, event(campaign()))
    assert [each["status"] for each in told["results"]] == ["rejected", "accepted"]
    assert told["results"][0]["reason"] == reason
    assert told["results"][0]["detail"]
    assert Event.objects.count() == 1


@pytest.mark.parametrize("thing", [None, 7, "event", [], [[]], {}])
def test_no_event_at_all_is_rejected_by_itself(caller: Program, thing: Any):
    told = post(caller, thing, event(campaign()))
    assert [each["status"] for each in told["results"]] == ["rejected", "accepted"]


@pytest.mark.parametrize("limit", [timedelta(minutes=5), timedelta(days=-90)])
def test_a_clock_within_its_bounds_is_taken(caller: Program, limit: timedelta):
    assert post(caller, event(campaign(), at=NOW + limit))["accepted"] == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, "bot"),
        ({"user_agent": "curl/8.5.0"}, "not_a_browser"),
        ({"prefetch": True}, "prefetch"),
        ({"user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"}, ""),
        ({"user_agent": "Mozilla/5.0 (Linux; Android 14; CUBOT P80) Chrome/140 Mobile"}, ""),
    ],
)
def test_bots_are_kept_with_their_reason_and_not_counted(caller: Program, fields: dict[str, Any], reason: str):
    of = campaign()
    told = post(caller, event(of, cost_micros=UNIT, **fields))
    assert told["results"][0].get("drop_reason", "") == reason
    assert Event.objects.get().drop_reason == reason
    rollups.refresh(now=NOW)
    row = RollupHour.objects.get()
    assert (row.impressions, row.cost, row.dropped) == ((0, 0, 1) if reason else (1, UNIT, 0))


def test_a_batch_has_its_bounds(caller: Program):
    of = campaign()
    assert problem(caller.post(PATH, {"events": [event(of)] * (EVENTS_MAX + 1)}))["code"] == "too_large"
    heavy = json.dumps({"events": [event(of)]}).encode() + b" " * BODY_MAX
    assert caller.post(PATH, None, raw=heavy).status_code == 413
    assert problem(caller.post(PATH, [event(of)]))["code"] == "invalid"
    assert problem(caller.post(PATH, {"events": {}}))["code"] == "invalid"
    assert problem(caller.post(PATH, {"events": [], "also": 1}))["code"] == "invalid"
    assert problem(caller.post(PATH, None, raw=b"{"))["code"] == "malformed"
    assert post(caller)["results"] == []
    assert Event.objects.count() == 0


def test_a_customers_program_records_its_own_campaigns_only():
    owner, member = person(), person()
    own, shared, foreign = campaign(owner), campaign(), campaign()
    shared.members.add(owner)
    shared.members.add(member)
    told = post(program(owner), event(own), event(shared), event(foreign))
    assert [each.get("reason") for each in told["results"]] == [None, None, "unknown_campaign"]


def test_who_may_not_record_is_told_so(client: Any):
    of = campaign()
    nobody = Program(user=person())
    assert nobody.post(PATH, {"events": [event(of)]}).status_code == 403
    assert client.post(PATH, "{}", content_type="application/json").status_code == 401
    assert nobody.get(PATH).status_code == 405


def test_events_and_their_deltas_come_together_or_not_at_all(caller: Program, monkeypatch: pytest.MonkeyPatch):
    def broken(*given: Any, **named: Any) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(intake.outbox, "append", broken)
    answer = caller.post(PATH, {"events": [event(campaign())]})
    assert problem(answer)["code"] == "unavailable"
    assert answer.headers["Retry-After"]
    assert (Event.objects.count(), RollupDelta.objects.count()) == (0, 0)


def attributed(of: Campaign, *events: dict[str, Any], caller: Program) -> str:
    """The attribution of the conversion among them, sent in one batch each."""
    for one in events:
        assert post(caller, one)["accepted"] == 1
    return Event.objects.get(kind="conversion").attribution


@pytest.mark.parametrize(
    ("kind", "ahead", "more", "wanted"),
    [
        ("click", timedelta(days=7), {}, "click"),
        ("click", timedelta(days=7, seconds=1), {}, ""),
        ("impression", timedelta(days=1), {}, "view"),
        ("impression", timedelta(days=1, seconds=1), {}, ""),
        ("impression", timedelta(hours=1), {"viewable": False}, ""),
        ("click", timedelta(seconds=-1), {}, ""),
        ("click", timedelta(hours=1), {"user_agent": "Googlebot"}, ""),
        ("click", timedelta(hours=1), {"visitor": "somebody-else"}, ""),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_conversion_is_owed_to_the_touch_before_it(
    caller: Program, kind: str, ahead: timedelta, more: dict[str, Any], wanted: str, together: bool
):
    of, at = campaign(), NOW - timedelta(minutes=10)
    touch = event(of, kind, **({"at": at - ahead, "visitor": "v1"} | more))
    bought = event(of, "conversion", at=at, visitor="v1", revenue_micros=40 * UNIT)
    if together:
        assert post(caller, bought, touch)["accepted"] == 2
        assert Event.objects.get(kind="conversion").attribution == wanted
    else:
        assert attributed(of, touch, bought, caller=caller) == wanted
    rollups.refresh(now=NOW)
    assert differences(of) == []


def test_a_click_wins_over_a_later_view(caller: Program):
    of, at = campaign(), NOW - timedelta(minutes=10)
    moments: list[tuple[str, datetime]] = [("click", at - timedelta(days=3)), ("impression", at - timedelta(hours=1))]
    touches = [event(of, kind, at=moment, visitor="v1") for kind, moment in moments]
    assert attributed(of, *touches, event(of, "conversion", at=at, visitor="v1"), caller=caller) == "click"
