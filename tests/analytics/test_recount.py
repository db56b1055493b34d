"""The nightly recount: what is wrong is put right and said, what is right stays, also while events come in."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest

from analytics import intake, recount, rollups
from analytics.models import Event, RefreshState, RollupDelta, RollupDimDay, RollupHour
from tests.analytics.world import NOW, UNIT, campaign, differences, event, tell
from tests.queues.engine.threads import together


def state() -> RefreshState:
    return RefreshState.objects.get(scope=rollups.SCOPE)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_right_sums_stay_as_they_are(zone: str):
    of = campaign(time_zone=zone)
    given = [
        event(of, kind, at=NOW - timedelta(hours=hours), creative=creative, country="DE", visitor=f"v{hours % 5}")
        for hours, kind in enumerate(["impression", "click", "conversion", "impression"] * 12)
        for creative in ("a", None)
    ]
    bots = [event(of, at=NOW - timedelta(days=2), user_agent="Googlebot")]
    tell(of, *[{name: value for name, value in one.items() if value is not None} for one in given], *bots)
    checked = recount.run(now=NOW)
    assert checked.repaired == 0
    assert checked.days >= 3
    assert (state().checked_at, state().repaired) == (NOW, 0)


@pytest.mark.django_db
def test_wrong_sums_are_put_right_and_counted():
    of = campaign()
    tell(of, *[event(of, at=NOW - timedelta(hours=n), cost_micros=UNIT) for n in range(5)])
    RollupHour.objects.filter(hour=NOW.replace(minute=0)).update(impressions=100)
    RollupDimDay.objects.filter(dimension="device").delete()
    RollupDimDay.objects.create(campaign=of, dimension="country", day=NOW.date(), value="XX", clicks=3)
    assert differences(of)
    checked = recount.run(now=NOW)
    assert checked.repaired == 3
    assert state().repaired == 3
    known = [line for line in differences(of) if "XX" not in line]
    assert known == []
    assert RollupDimDay.objects.get(value="XX").clicks == 0
    assert recount.run(now=NOW + timedelta(days=1)).repaired == 0


@pytest.mark.django_db
def test_what_still_waits_in_the_outbox_is_no_difference():
    of = campaign()
    tell(of, event(of))
    intake.record(events=[event(of)], user=of.owner, now=NOW)
    assert RollupDelta.objects.count()
    assert recount.run(now=NOW).repaired == 0


@pytest.mark.django_db
def test_old_days_are_looked_at_by_chance_and_all_of_them_when_rebuilding():
    of = campaign()
    tell(of, *[event(of, at=NOW - timedelta(days=days)) for days in (0, 20, 40, 60)])
    RollupHour.objects.all().delete()
    RollupDimDay.objects.all().delete()
    assert recount.run(now=NOW, everything=True).repaired == 4 * 5
    assert differences(of) == []


@pytest.mark.django_db
def test_a_click_that_comes_after_its_conversion_is_credited_at_night():
    of = campaign()
    bought = event(of, "conversion", at=NOW - timedelta(hours=1), visitor="v", revenue_micros=9 * UNIT)
    tell(of, bought)
    tell(of, event(of, "click", at=NOW - timedelta(hours=2), visitor="v"))
    assert Event.objects.get(kind="conversion").attribution == ""
    assert recount.run(now=NOW).repaired == 0, "nothing was counted wrongly"
    assert Event.objects.get(kind="conversion").attribution == "click"
    rollups.refresh(now=NOW)
    assert differences(of) == []


@pytest.mark.django_db(transaction=True)
def test_a_recount_amid_writers_refreshers_and_another_recount_disturbs_nothing():
    of = campaign()
    tell(of, *[event(of, at=NOW - timedelta(hours=n % 30)) for n in range(200)])
    RollupHour.objects.filter(hour=NOW.replace(minute=0)).update(clicks=7)

    def write() -> None:
        for number in range(15):
            moment: datetime = NOW - timedelta(hours=number % 30)
            batch = [event(of, at=moment, event_id=str(uuid.uuid4())) for _ in range(10)]
            intake.record(events=batch, user=of.owner, now=NOW)

    def refresh() -> None:
        for _ in range(15):
            rollups.refresh(now=NOW)

    def check() -> int:
        return recount.run(now=NOW).repaired + recount.run(now=NOW).repaired

    _w, _v, _r, first, second = together(write, write, refresh, check, check)
    rollups.refresh(now=NOW)
    assert first + second == 1
    assert differences(of) == []
