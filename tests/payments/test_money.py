"""Amounts are whole numbers of the smallest unit; people write and read them with the currency's own digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments import money


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (1234, "eur", "12.34 EUR"),
        (5, "usd", "0.05 USD"),
        (0, "usd", "0.00 USD"),
        (1500, "jpy", "1,500 JPY"),
        (500, "kwd", "0.500 KWD"),
        (123456789, "eur", "1,234,567.89 EUR"),
        (10000, "isk", "100.00 ISK"),
    ],
)
def test_show(amount: int, currency: str, words: str):
    assert money.show(amount, currency) == words


@given(amount=st.integers(0, 10**11), currency=st.sampled_from(["eur", "jpy", "kwd"]))
def test_what_is_shown_plainly_is_read_back(amount: int, currency: str):
    assert money.parse(money.plain(amount, currency), currency) == amount


@pytest.mark.parametrize("text", ["", "x", "1,5", "NaN", "Infinity", "1e999999999", "1.234", "--1"])
def test_what_is_no_amount_of_euros(text: str):
    with pytest.raises(ValueError):
        money.parse(text, "eur")


def test_yen_have_no_digits_after_the_point():
    assert money.parse("500", "jpy") == 500
    assert money.parse("500.00", "jpy") == 500
    with pytest.raises(ValueError, match="no digits"):
        money.parse("500.50", "jpy")
