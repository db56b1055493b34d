"""Preferences and quiet hours, in the user's own time zone, also in the nights in which the clock is changed."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from notifications import push
from notifications.models import Preference, PushDelivery
from notifications.sending import wishes, words
from notifications.sending.wishes import Wish
from tests.notifications.sending.world import Service, device, drain, person

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = ("22:00", "07:00")


def local(text: str, *, zone: str = "Europe/Berlin", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


@pytest.mark.parametrize(
    ("hours", "at", "ends"),
    [
        (NIGHT, "2026-06-10 21:59", None),
        (NIGHT, "2026-06-10 22:00", "2026-06-11 07:00"),
        (NIGHT, "2026-06-11 03:00", "2026-06-11 07:00"),
        (NIGHT, "2026-06-11 06:59:59.999999", "2026-06-11 07:00"),
        (NIGHT, "2026-06-11 07:00", None),
        (("13:00", "15:00"), "2026-06-10 14:00", "2026-06-10 15:00"),
        (("13:00", "15:00"), "2026-06-10 15:00", None),
        (("13:00", "15:00"), "2026-06-10 12:59", None),
        (("00:00", "06:00"), "2026-06-10 00:00", "2026-06-10 06:00"),
        (("08:00", "08:00"), "2026-06-10 08:00", None),
        # The clock is put forward at 02:00 on 29 March 2026, and back at 03:00 on 25 October.
        (NIGHT, "2026-03-28 23:00", "2026-03-29 07:00"),
        (NIGHT, "2026-10-24 23:00", "2026-10-25 07:00"),
    ],
)
def test_when_quiet_hours_end(hours: tuple[str, str], at: str, ends: str | None):
    wish = Wish(True, time.fromisoformat(hours[0]), time.fromisoformat(hours[1]), "Europe/Berlin")
    found = wishes.quiet_until(wish, at=local(at))
    assert found == (local(ends).astimezone(UTC) if ends else None)


def test_a_night_with_a_changed_clock_is_an_hour_shorter_or_longer():
    wish = Wish(True, time(22), time(7), "Europe/Berlin")
    lengths = []
    for day in ("2026-03-28", "2026-06-10", "2026-10-24"):
        begins = local(f"{day} 22:00").astimezone(UTC)
        ends = wishes.quiet_until(wish, at=begins)
        assert ends is not None
        lengths.append((ends - begins) / timedelta(hours=1))
    assert lengths == [8, 9, 10]


def test_an_end_that_the_clock_never_shows_or_shows_twice():
    never = Wish(True, time(1), time(2, 30), "Europe/Berlin")
    found = wishes.quiet_until(never, at=local("2026-03-29 01:30"))
    assert found == local("2026-03-29 03:30").astimezone(UTC), "02:30 is not there"
    twice = Wish(True, time(1), time(2, 30), "Europe/Berlin")
    first = wishes.quiet_until(twice, at=local("2026-10-25 02:10"))
    assert first == local("2026-10-25 02:30").astimezone(UTC)
    again = wishes.quiet_until(twice, at=local("2026-10-25 02:10", fold=1))
    assert again == local("2026-10-25 02:30", fold=1).astimezone(UTC)
    assert local("2026-10-25 02:30", fold=1).astimezone(UTC) - local("2026-10-25 02:30").astimezone(UTC) == timedelta(
        hours=1
    )


def test_a_time_zone_that_is_gone_is_utc():
    wish = Wish(True, time(22), time(7), "Mars/Olympus")
    assert wishes.quiet_until(wish, at=datetime(2026, 6, 1, 23, tzinfo=UTC)) == datetime(2026, 6, 2, 7, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ({}, True),
        ({"news": True}, True),
        ({"news": False}, False),
        ({"": False}, False),
        ({"": False, "news": True}, False),
        ({"": True, "news": False}, False),
        ({"other": False}, True),
    ],
)
def test_what_is_not_wanted_is_kept_as_suppressed_and_never_sent(service: Service, rows: dict[str, bool], wanted: bool):
    one = device()
    for category, yes in rows.items():
        Preference.objects.create(user=one.installation.user, category=category, wanted=yes)
    made = push.notify(users=[one.installation.user_id], title="News", category="news", urgent=True)
    assert (made.deliveries, dict(made.suppressed)) == ((1, {}) if wanted else (0, {"preference": 1}))
    drain()
    assert len(service.sent) == int(wanted)
    assert str(words.of(PushDelivery.objects.get())) == ("accepted" if wanted else "suppressed (preference)")


@pytest.mark.django_db(transaction=True)
def test_quiet_hours_defer_to_their_end_but_not_what_is_urgent_or_over_by_then(service: Service):
    anna = person()
    device(anna)
    Preference.objects.create(
        user=anna, category="", quiet_from=time(22), quiet_until=time(7), time_zone="America/New_York"
    )
    midnight = local("2026-11-01 00:30", zone="America/New_York")  # the night in which it has 25 hours
    morning = local("2026-11-01 07:00", zone="America/New_York").astimezone(UTC)
    with time_machine.travel(midnight, tick=False):
        calm = push.notify(users=[anna], title="calm")
        assert (calm.deliveries, calm.deferred) == (1, 1)
        assert PushDelivery.objects.get().due_at == morning
        short = push.notify(users=[anna], title="short", ttl=timedelta(hours=2))
        assert (short.deliveries, dict(short.suppressed)) == (0, {"quiet_hours": 1})
        assert push.notify(users=[anna], title="now", urgent=True).deferred == 0
        drain()
        assert [message.title for message in service.messages] == ["now"]
    with time_machine.travel(morning, tick=False):
        drain()
    assert [message.title for message in service.messages] == ["now", "calm"]


@pytest.mark.django_db(transaction=True)
def test_what_waited_into_the_night_waits_for_the_morning(service: Service):
    """A rate limit, a stopped lane or a retry may end in quiet hours that did not hold when it was enqueued."""
    anna = person()
    device(anna)
    Preference.objects.create(user=anna, category="news", quiet_from=time(22), quiet_until=time(7))
    with time_machine.travel(datetime(2026, 6, 1, 21, 59, tzinfo=UTC), tick=False):
        push.notify(users=[anna], title="late", category="news")
    with time_machine.travel(datetime(2026, 6, 1, 22, 1, tzinfo=UTC), tick=False):
        assert drain() == {"snooze": 1}
    assert PushDelivery.objects.get().due_at == datetime(2026, 6, 2, 7, tzinfo=UTC)
    assert PushDelivery.objects.get().attempts == 0
