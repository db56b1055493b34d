"""The delta outbox: not one event lost or doubled, whoever writes, refreshes or is killed meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from analytics import intake, outbox, rollups
from analytics.models import Event, RefreshState, RollupDelta, RollupDimDay, RollupHour
from tests.analytics.world import NOW, UNIT, campaign, differences, event, tell
from tests.conftest import ROOT
from tests.queues.engine.threads import together


@pytest.mark.django_db
def test_events_are_added_to_their_hour_and_day():
    of = campaign(time_zone="America/New_York")
    late = NOW.replace(hour=3, minute=30)  # still the day before over there
    tell(
        of,
        event(of, at=late, creative="a", country="US", device="mobile", viewable=True, cost_micros=UNIT),
        event(of, at=NOW, creative="b", viewable=False),
        event(of, "click", at=NOW, channel="email"),
        event(of, "conversion", at=NOW, revenue_micros=9 * UNIT),
    )
    assert differences(of) == []
    hours = {row.hour.hour: row for row in RollupHour.objects.all()}
    assert (hours[3].day.day, hours[14].day.day) == (10, 11)
    assert (hours[3].impressions, hours[3].measured, hours[3].viewable, hours[3].cost) == (1, 1, 1, UNIT)
    assert (hours[14].clicks, hours[14].conversions, hours[14].revenue) == (1, 1, 9 * UNIT)
    assert {row.value for row in RollupDimDay.objects.filter(dimension="channel")} == {"", "email"}
    assert RollupDelta.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(("zone", "minute"), [("Asia/Kathmandu", 15), ("Asia/Kolkata", 30), ("Europe/Berlin", 0)])
def test_a_zone_off_the_hour_has_its_own_midnight(zone: str, minute: int):
    """Nepal is 5:45 ahead: its midnight is 18:15 UTC."""
    of = campaign(time_zone=zone)
    midnight = datetime(2026, 3, 11, tzinfo=of.zone).astimezone(UTC)
    assert midnight.minute == minute
    tell(of, event(of, at=midnight - timedelta(seconds=1)), event(of, at=midnight))
    rows = RollupHour.objects.order_by("hour")
    assert [(row.day.day, row.impressions) for row in rows] == [(10, 1), (11, 1)]
    assert rows[1].hour == midnight


@pytest.mark.django_db
def test_as_of_is_the_moment_before_the_refresh_and_never_goes_back():
    of = campaign()
    tell(of, event(of))
    assert rollups.as_of() == NOW
    rollups.refresh(now=NOW - timedelta(minutes=3))
    assert rollups.as_of() == NOW
    rollups.refresh(now=NOW + timedelta(minutes=1))
    assert rollups.as_of() == NOW + timedelta(minutes=1)


@pytest.mark.django_db
def test_what_one_run_cannot_take_is_not_said_to_be_included():
    of = campaign()
    tell(of, event(of))
    for number in range(6):
        intake.record(events=[event(of, at=NOW - timedelta(hours=number))], user=of.owner, now=NOW)
    waiting = RollupDelta.objects.count()
    done = rollups.refresh(now=NOW + timedelta(minutes=1), limit=waiting - 3, take=5)
    assert not done.complete
    assert rollups.as_of() == NOW, "as_of stays while rows remain"
    assert rollups.refresh(now=NOW + timedelta(minutes=2), take=5).complete
    assert rollups.as_of() == NOW + timedelta(minutes=2)
    assert differences(of) == []


@pytest.mark.django_db
def test_a_negative_delta_takes_back():
    of = campaign()
    tell(of, event(of), event(of))
    place = next(iter(intake.deltas(Event.objects.values()[:1], {of.pk: (of.zone, 3600)})))
    outbox.append({place: [-1, *[0] * 11]}, using="default")
    rollups.refresh(now=NOW)
    assert RollupHour.objects.get().impressions == 1


@pytest.mark.django_db(transaction=True)
def test_a_refresh_that_fails_leaves_everything_for_the_next(monkeypatch: pytest.MonkeyPatch):
    of = campaign()
    intake.record(events=[event(of) for _ in range(5)], user=of.owner, now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(rollups, "_arrived", lambda *given: (_ for _ in ()).throw(DatabaseError("gone")))
        with pytest.raises(DatabaseError):
            rollups.refresh(now=NOW)
    assert (RollupHour.objects.count(), RefreshState.objects.count()) == (0, 0)
    rollups.refresh(now=NOW)
    assert differences(of) == []


@pytest.mark.django_db(transaction=True)
def test_four_writers_and_two_refreshers_lose_and_double_nothing():
    of = campaign()
    batches = 12
    shared = [event(of, at=NOW - timedelta(hours=number % 5), cost_micros=3) for number in range(40)]
    ended: list[bool] = []

    def write(seed: int) -> int:
        """Own events and the same forty as everybody: a redelivered batch. One in four is rolled back."""
        stored = 0
        for number in range(batches):
            own = [event(of, at=NOW - timedelta(hours=(seed + each) % 7)) for each in range(20)]
            try:
                with transaction.atomic():
                    answers = intake.record(events=[*own, *shared], user=of.owner, now=NOW)
                    if number % 4 == 3:
                        raise InterruptedError
            except InterruptedError:
                continue
            stored += sum(answer.status == "accepted" for answer in answers)
        ended.append(True)
        return stored

    def refresh() -> int:
        runs = 0
        while len(ended) < 4:
            rollups.refresh(now=NOW, take=50)
            runs += 1
        return runs

    *stored, first, second = together(*[lambda seed=seed: write(seed) for seed in range(4)], refresh, refresh)
    rollups.refresh(now=NOW)
    assert sum(stored) == Event.objects.count() == 4 * 9 * 20 + 40
    assert differences(of) == []
    assert min(first, second) >= 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_refresher_killed_in_the_middle_loses_nothing(child_environment: dict[str, str]):
    of = campaign()
    intake.record(events=[event(of, at=NOW - timedelta(hours=n % 24)) for n in range(400)], user=of.owner, now=NOW)
    code = """
import django; django.setup()
import sys, time
from django.utils import timezone
from analytics import rollups
def hang(*given):
    print("in the middle", flush=True)
    time.sleep(60)
rollups._arrived = hang
rollups.refresh(now=timezone.now())
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=child_environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert "in the middle" in child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    assert RollupHour.objects.count() == 0
    until = time.monotonic() + 20
    while True:  # PostgreSQL needs a moment to see that its client is gone
        try:
            rollups.refresh(now=NOW)
            break
        except DatabaseError:
            assert time.monotonic() < until
    assert RollupDelta.objects.count() == 0
    assert differences(of) == []


@pytest.mark.django_db(transaction=True)
def test_what_was_confirmed_before_is_included_also_if_it_was_begun_later():
    """A writer that is still at work when the refresh begins has not confirmed; its events come with the next one."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    import threading

    of = campaign()
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            intake.record(events=[event(of)], user=of.owner, now=NOW)
            inside.set()
            assert go_on.wait(30)

    def quick() -> Any:
        assert inside.wait(30)
        intake.record(events=[event(of, event_id=str(uuid.uuid4()))], user=of.owner, now=NOW)
        seen = rollups.refresh(now=NOW)
        found = RollupHour.objects.get().impressions
        go_on.set()
        return seen.complete, found

    _none, (complete, found) = together(slow, quick)
    assert (complete, found) == (True, 1)
    rollups.refresh(now=NOW)
    assert RollupHour.objects.get().impressions == 2
