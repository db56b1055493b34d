"""Days in the campaign's own time, and the period before: over months, clock changes and an open day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import periods
from analytics.periods import DAYS_MAX, Asked, BadRange, Period

UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 11, 14, 35, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "code", "offer"),
    [
        ({"days": "120"}, "range_too_long", "days=90"),
        ({"days": "0"}, "bad_dates", "days=30"),
        ({"days": "-7"}, "bad_dates", "days=30"),
        ({"days": "٧"}, "bad_dates", "days=30"),
        ({"days": "9" * 400}, "bad_dates", "days=30"),
        ({"from": "2026-03-10", "to": "2026-03-01"}, "dates_reversed", "from=2026-03-01&to=2026-03-10"),
        ({"from": "2025-11-01", "to": "2026-02-28"}, "range_too_long", "from=2025-12-01&to=2026-02-28"),
        ({"from": "2026-03-10"}, "bad_dates", "days=30"),
        ({"from": "20260301", "to": "20260302"}, "bad_dates", "days=30"),
        ({"from": "2026-02-30", "to": "2026-03-02"}, "bad_dates", "days=30"),
        ({"from": "2027-02-01", "to": "2027-03-02"}, "bad_dates", "days=30"),
        ({"from": "0001-01-01", "to": "0001-01-02"}, "bad_dates", "days=30"),
    ],
)
def test_what_cannot_be_shown_is_said_with_an_offer(query: dict[str, str], code: str, offer: str):
    with pytest.raises(BadRange) as caught:
        periods.read(query, zone=UTC_ZONE, now=NOW)
    assert (caught.value.code, caught.value.offer) == (code, offer)
    offered = dict(part.split("=") for part in offer.split("&"))
    assert periods.read(offered, zone=UTC_ZONE, now=NOW)


def test_the_last_days_end_today_where_the_campaign_is():
    late = datetime(2026, 3, 11, 23, 30, tzinfo=UTC)
    period = periods.read({"days": "7"}, zone=BERLIN, now=late).period(zone=BERLIN, now=late)
    assert (period.first, period.last, period.length) == (date(2026, 3, 6), date(2026, 3, 12), 7)


def test_days_to_come_are_left_out():
    period = Asked(None, date(2026, 3, 9), date(2026, 3, 20)).period(zone=UTC_ZONE, now=NOW)
    assert period.last == date(2026, 3, 11)


def test_ninety_days_are_the_most():
    assert periods.read({"from": "2025-12-01", "to": "2026-02-28"}, zone=UTC_ZONE, now=NOW)


def test_a_full_period_is_compared_with_all_of_the_one_before():
    period = Period(date(2026, 2, 1), date(2026, 2, 28), UTC_ZONE)
    cut = period.cut(as_of=NOW)
    assert cut == period.span.end
    assert (period.previous.first, period.previous.last) == (date(2026, 1, 4), date(2026, 1, 31))
    assert period.previous_cut(cut=cut) == datetime(2026, 2, 1, tzinfo=UTC)


def test_an_open_day_is_compared_up_to_the_same_hour():
    period = Period(date(2026, 3, 5), date(2026, 3, 11), UTC_ZONE)
    cut = period.cut(as_of=NOW)
    assert cut == NOW.replace(minute=0)
    assert period.previous_cut(cut=cut) == datetime(2026, 3, 4, 14, tzinfo=UTC)


def test_over_a_clock_change_the_clock_on_the_wall_counts():
    """29 March 2026 has 23 hours in Berlin: 12:00 of both days, though 11 and 12 hours have passed."""
    as_of = datetime(2026, 3, 29, 10, 20, tzinfo=UTC)  # 12:20 summer time
    period = Period(date(2026, 3, 29), date(2026, 3, 29), BERLIN)
    assert period.span.end - period.span.start == timedelta(hours=23)
    cut = period.cut(as_of=as_of)
    assert cut.astimezone(BERLIN).hour == 12
    before = period.previous_cut(cut=cut)
    assert before.astimezone(BERLIN) == datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert (cut - period.span.start, before - period.previous.span.start) == (timedelta(hours=11), timedelta(hours=12))


def test_the_day_is_the_local_one_where_utc_is_already_in_the_next():
    zone = ZoneInfo("America/New_York")
    as_of = datetime(2026, 3, 12, 2, 20, tzinfo=UTC)  # 22:20 of the 11th
    period = Period(date(2026, 3, 11), date(2026, 3, 11), zone)
    cut = period.cut(as_of=as_of)
    assert period.previous_cut(cut=cut) == datetime(2026, 3, 10, 22, tzinfo=zone)


def test_a_day_of_25_hours_is_one_day():
    period = Period(date(2026, 10, 25), date(2026, 10, 25), BERLIN)
    assert period.span.end - period.span.start == timedelta(hours=25)


@given(
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.integers(1, DAYS_MAX),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"]),
    st.integers(0, 24 * 60 - 1),
)
def test_the_spans_fit_together(first: date, length: int, name: str, minute: int):
    """Nothing overlaps, nothing is left out, and neither cut leaves its own period."""
    zone = ZoneInfo(name)
    period = Period(first, first + timedelta(days=length - 1), zone)
    previous = period.previous
    assert previous.span.end == period.span.start
    assert previous.length == length
    as_of = datetime.combine(period.last, datetime.min.time(), tzinfo=UTC) + timedelta(minutes=minute)
    cut = period.cut(as_of=as_of)
    assert period.span.start <= cut <= period.span.end
    assert previous.span.start <= period.previous_cut(cut=cut) <= previous.span.end


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [
        (date(2026, 11, 1), date(2026, 11, 7), "1–7 Nov"),
        (date(2026, 11, 7), date(2026, 11, 7), "7 Nov"),
        (date(2026, 10, 28), date(2026, 11, 3), "28 Oct – 3 Nov"),
        (date(2025, 12, 28), date(2026, 1, 3), "28 Dec 2025 – 3 Jan 2026"),
    ],
)
def test_how_days_are_written(first: date, last: date, wanted: str):
    assert periods.words(first, last) == wanted
