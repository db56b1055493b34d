"""Money: whole numbers of a currency's smallest unit, as Stripe counts them, and how people write them.

Stripe gives no amount without its currency beside it, and neither do we: 500 is 5.00 in "eur", 500 in "jpy" and 0.500
in "kwd".
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

ZERO_DECIMAL = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
)
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
"""https://docs.stripe.com/currencies. (ISK and UGX have no smaller unit, but Stripe counts them in hundredths.)"""

AMOUNT_MAX = 99_999_999
"""Eight digits is what Stripe takes of most currencies in one charge."""
CURRENCY = re.compile(r"[a-z]{3}")


def places(currency: str) -> int:
    """Digits after the decimal point in the way Stripe counts this currency."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def show(amount: int, currency: str) -> str:
    """`12.34 EUR`, `1,500 JPY`, `0.500 KWD`."""
    return f"{Decimal(amount).scaleb(-places(currency)):,f} {currency.upper()}"


def plain(amount: int, currency: str) -> str:
    """The number alone, as `parse` takes it: `1234.50`."""
    return f"{Decimal(amount).scaleb(-places(currency)):f}"


def parse(text: str, currency: str) -> int:
    """The amount that a person wrote: `12.34` -> 1234. Raises ValueError with a sentence for them."""
    try:
        number = Decimal(text.strip().replace(" ", ""))
    except InvalidOperation:
        raise ValueError("Write it as a number, for example 12.50.") from None
    # The exponent is bounded before anything is computed with it: 1e999999999 would never end.
    if not number.is_finite() or abs(number.adjusted()) > 12:
        raise ValueError("Write it as a number, for example 12.50.")
    units = number.scaleb(places(currency))
    if units != units.to_integral_value():
        digits = places(currency)
        raise ValueError(f"{currency.upper()} has {digits or 'no'} digits after the point.")
    return int(units)
