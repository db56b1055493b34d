"""Figures from sums: what each is, when it has no meaning, and how it compares. Never NaN, never an invented zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analytics.models import MEASURES

type Sums = Mapping[str, int]

EMPTY: Sums = dict.fromkeys(MEASURES, 0)


@dataclass(frozen=True, slots=True)
class Definition:
    """A figure: `over / under * times`, or the sum `over` itself.

    `unit`: count, money (micros), percent (a share of 1) or times. `better`: which way is good, "" for neither.
    """

    name: str
    label: str
    over: str
    under: str = ""
    times: int = 1
    unit: str = "count"
    better: str = "up"
    reason: str = ""
    needs: str = ""


FIGURES = {
    each.name: each
    for each in (
        Definition("impressions", "Impressions", "impressions"),
        Definition("clicks", "Clicks", "clicks"),
        Definition("conversions", "Conversions", "conversions"),
        Definition("spend", "Spend", "cost", unit="money", better=""),
        Definition("revenue", "Revenue", "revenue", unit="money"),
        Definition(
            "ctr",
            "CTR",
            "clicks",
            "impressions",
            unit="percent",
            reason="no_impressions",
            needs="at least one impression",
        ),
        Definition(
            "cvr", "CVR", "conversions", "clicks", unit="percent", reason="no_clicks", needs="at least one click"
        ),
        Definition(
            "cpm", "CPM", "cost", "impressions", 1000, "money", "down", "no_impressions", "at least one impression"
        ),
        Definition("cpc", "CPC", "cost", "clicks", 1, "money", "down", "no_clicks", "at least one click"),
        Definition(
            "cpa", "CPA", "cost", "conversions", 1, "money", "down", "no_conversions", "at least one conversion"
        ),
        Definition("roas", "ROAS", "revenue", "cost", unit="times", reason="no_spend", needs="some spend"),
        Definition(
            "viewability",
            "Viewability",
            "viewable",
            "measured",
            unit="percent",
            reason="not_measured",
            needs="at least one measured impression",
        ),
    )
}


def value(name: str, sums: Sums) -> float | int | None:
    """The figure, or None where it has no meaning. Money in whole micros, other ratios as numbers."""
    figure = FIGURES[name]
    if not figure.under:
        return sums[figure.over]
    if not sums[figure.under]:
        return None
    ratio = sums[figure.over] * figure.times / sums[figure.under]
    return round(ratio) if figure.unit == "money" else round(ratio, 6)


def figure(name: str, sums: Sums, *, now: Sums | None = None, before: Sums | None = None) -> dict[str, Any]:
    """The figure as a panel's payload holds it. `now` and `before` are the sums of the two spans to be compared."""
    definition = FIGURES[name]
    found = value(name, sums)
    told: dict[str, Any] = {"name": name, "label": definition.label, "unit": definition.unit, "value": found}
    if found is None:
        told |= {"reason": definition.reason, "needs": definition.needs}
    if now is not None and before is not None:
        told["change"] = change(value(name, now), value(name, before), better=definition.better)
    return told


def change(now: float | None, before: float | None, *, better: str) -> dict[str, Any]:
    """`state`: up, down, same, new (nothing before) or none (cannot be compared); `share` of the value before."""
    told: dict[str, Any] = {"state": "none", "now": now, "before": before, "share": None, "good": None}
    if now is None or before is None:
        return told
    if not before:
        return told | {"state": "new" if now else "same"}
    share = round((now - before) / before, 4)
    state = "same" if not share else "up" if share > 0 else "down"
    return told | {"state": state, "share": share, "good": None if not better or not share else state == better}
