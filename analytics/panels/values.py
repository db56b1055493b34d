"""Breakdowns: the creatives, and the values of a dimension; sorted, and in pages by cursor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from analytics import figures, reading
from analytics.models import Creative
from analytics.panels.panel import Panel, basics
from analytics.reading import Question

PAGE = 20
SORTS = ("impressions", "clicks", "conversions", "cost", "revenue")
COLUMNS = ("impressions", "clicks", "ctr", "conversions", "cvr", "spend", "cpc", "revenue", "roas")
SORT = re.compile("|".join(SORTS))
AFTER = re.compile(r"(-?[0-9]{1,18})\.([A-Za-z0-9]{0,20})")
BY = re.compile("country|device|channel")


def _creatives(question: Question) -> dict[str, Any]:
    payload = _values(question, "creative")
    ids = [int(row["value"]) for row in payload["rows"] if row["value"]]
    names = dict(Creative.objects.filter(campaign_id=question.campaign_id, pk__in=ids).values_list("pk", "name"))
    for row in payload["rows"]:
        row["label"] = names.get(int(row["value"]), "Removed") if row["value"] else "No creative"
    return payload


def _breakdown(question: Question) -> dict[str, Any]:
    payload = _values(question, question.options.get("by", "country"))
    for row in payload["rows"]:
        row["label"] = row["value"] or "Unknown"
    return payload


def _values(question: Question, dimension: str) -> dict[str, Any]:
    sort = question.options.get("sort", "impressions")
    found = AFTER.fullmatch(question.options.get("after", ""))
    after = (int(found[1]), found[2]) if found else None
    rows = reading.by_value(question, dimension=dimension, sort=sort, after=after, limit=PAGE + 1)
    more = len(rows) > PAGE
    shown = rows[:PAGE]
    return basics(question, empty=not rows and after is None) | {
        "by": dimension,
        "sort": sort,
        "first_page": after is None,
        "after": f"{shown[-1][1][sort]}.{shown[-1][0]}" if more else "",
        "rows": [
            {
                "value": value,
                "sums": {name: sums[name] for name in SORTS},
                "figures": [figures.figure(name, sums) for name in COLUMNS],
            }
            for value, sums in shown
        ],
    }


def _table(payload: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    head = [payload["by"], *(figures.FIGURES[name].label for name in COLUMNS), "currency"]
    rows = [
        [row["label"], *((each["value"], each["unit"]) for each in row["figures"]), payload["currency"].upper()]
        for row in payload["rows"]
    ]
    return head, rows


CREATIVES = Panel(
    name="creatives",
    title="Creatives",
    template="analytics/panels/values.html",
    compute=_creatives,
    table=_table,
    options={"sort": SORT, "after": AFTER},
)
BREAKDOWN = Panel(
    name="breakdown",
    title="Breakdown",
    template="analytics/panels/values.html",
    compute=_breakdown,
    table=_table,
    options={"by": BY, "sort": SORT, "after": AFTER},
)
