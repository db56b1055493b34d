"""Figures from sums: N/A with its reason, never NaN, never an invented zero; and how they are written."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import figures, words
from analytics.figures import EMPTY, FIGURES
from analytics.models import MEASURES

UNIT = 1_000_000


def sums(**given: int) -> dict[str, int]:
    return {**EMPTY, **given}


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("ctr", sums(clicks=3, impressions=200), 0.015),
        ("cvr", sums(conversions=1, clicks=8), 0.125),
        ("cpm", sums(cost=5 * UNIT, impressions=2000), 2_500_000),
        ("cpc", sums(cost=UNIT, clicks=3), 333_333),
        ("cpa", sums(cost=9 * UNIT, conversions=2), 4_500_000),
        ("roas", sums(revenue=30 * UNIT, cost=12 * UNIT), 2.5),
        ("viewability", sums(viewable=1, measured=4, impressions=100), 0.25),
        ("spend", sums(cost=7), 7),
        ("impressions", sums(), 0),
    ],
)
def test_each_figure(name: str, given: dict[str, int], wanted: float):
    assert figures.value(name, given) == wanted


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ctr", "no_impressions"),
        ("cvr", "no_clicks"),
        ("cpm", "no_impressions"),
        ("cpc", "no_clicks"),
        ("cpa", "no_conversions"),
        ("roas", "no_spend"),
        ("viewability", "not_measured"),
    ],
)
def test_a_ratio_without_a_meaning_says_why(name: str, reason: str):
    told = figures.figure(name, EMPTY)
    assert (told["value"], told["reason"]) == (None, reason)
    assert told["needs"]
    assert words.figure(told["value"], told["unit"], "eur") == "N/A"


def test_money_without_clicks_is_not_zero_for_free():
    assert figures.figure("cpc", sums(cost=5))["value"] is None


@pytest.mark.parametrize(
    ("now", "before", "better", "state", "share", "good"),
    [
        (150, 100, "up", "up", 0.5, True),
        (50, 100, "up", "down", -0.5, False),
        (50, 100, "down", "down", -0.5, True),
        (150, 100, "", "up", 0.5, None),
        (100, 100, "up", "same", 0, None),
        (5, 0, "up", "new", None, None),
        (0, 0, "up", "same", None, None),
        (None, 3, "up", "none", None, None),
        (3, None, "up", "none", None, None),
    ],
)
def test_changes(now: Any, before: Any, better: str, state: str, share: Any, good: Any):
    told = figures.change(now, before, better=better)
    assert (told["state"], told["share"], told["good"]) == (state, share, good)


@given(st.fixed_dictionaries({name: st.integers(-(10**18), 10**18) for name in MEASURES}))
def test_no_sums_make_what_json_cannot_hold(given_sums: dict[str, int]):
    for name in FIGURES:
        told = figures.figure(name, given_sums, now=given_sums, before=EMPTY)
        json.dumps(told, allow_nan=False)
        assert words.figure(told["value"], told["unit"], "eur")


@pytest.mark.parametrize(
    ("micros", "currency", "wanted"),
    [
        (1_234_500_000, "eur", "€1,234.50"),
        (12_300, "usd", "$0.0123"),
        (0, "eur", "€0.00"),
        (1_500 * UNIT, "jpy", "¥1,500"),
        (12 * UNIT, "chf", "12.00 CHF"),
        (-5 * UNIT, "eur", "−€5.00"),
    ],
)
def test_money_is_written_in_its_currency(micros: int, currency: str, wanted: str):
    assert words.money(micros, currency) == wanted


@pytest.mark.parametrize(
    ("gap", "wanted"),
    [
        (timedelta(minutes=8, seconds=59), "8 min old"),
        (timedelta(hours=5), "5 h old"),
        (timedelta(days=3), "3 days old"),
        (timedelta(seconds=-5), "0 min old"),
    ],
)
def test_ages(gap: timedelta, wanted: str):
    assert words.age(gap) == wanted
