"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

MICRO = 6
NO_DECIMALS = frozenset({"bif", "clp", "jpy", "krw", "pyg", "rwf", "ugx", "vnd", "xaf", "xof", "isk", "huf"})
SIGNS = {"eur": "€", "usd": "$", "gbp": "£", "jpy": "¥"}
SMALL = Decimal("0.1")


def figure(value: float | None, unit: str, currency: str) -> str:
    """A figure by its unit; `N/A` for None."""
    if value is None:
        return "N/A"
    match unit:
        case "money":
            return money(int(value), currency)
        case "percent":
            return f"{value * 100:,.2f} %"
        case "times":
            return f"{value:,.2f}×"
    return f"{int(value):,}"


def money(micros: int, currency: str) -> str:
    """`€1,234.50`, `¥1,500`, `12.00 CHF`; what is less than a tenth with four digits."""
    amount = Decimal(micros).scaleb(-MICRO)
    digits = 0 if currency in NO_DECIMALS else 2
    if amount and abs(amount) < SMALL:
        digits = 4
    text = f"{abs(amount):,.{digits}f}"
    sign = "−" if amount < 0 else ""
    return f"{sign}{SIGNS[currency]}{text}" if currency in SIGNS else f"{sign}{text} {currency.upper()}"


def plain(value: Any, unit: str) -> str:
    """For CSV: no separators; money in the currency's unit, percent as a share."""
    if value is None:
        return ""
    return f"{Decimal(int(value)).scaleb(-MICRO):f}" if unit == "money" else str(value)


def clock(moment: datetime, zone: ZoneInfo, *, now: datetime) -> str:
    """`14:05`, with its day where that is not today."""
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    text = f"{local:%H:%M}"
    return text if local.date() == today else f"{text} on {local.day} {local:%b}"


def age(gap: timedelta) -> str:
    """`8 min old`, `3 h old`, `2 days old`."""
    minutes = max(int(gap.total_seconds() // 60), 0)
    if minutes < 60:
        return f"{minutes} min old"
    if minutes < 48 * 60:
        return f"{minutes // 60} h old"
    return f"{minutes // 1440} days old"
