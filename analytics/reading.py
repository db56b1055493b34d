"""The questions that panels ask the rollups: of one campaign, of at most 90 days, at most 100 rows a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db.models import Q, Sum

from analytics.models import MEASURES, RollupDimDay, RollupHour
from analytics.periods import Period, Span

PAGE_MAX = 100
SUMS = {f"sum_{name}": Sum(name) for name in MEASURES}


@dataclass(frozen=True, slots=True)
class Question:
    """What one panel is to answer. `options` are its own: dimension, sort, after."""

    campaign_id: int
    currency: str
    period: Period
    as_of: datetime
    options: Mapping[str, str] = field(default_factory=dict)
    budget: int | None = None
    starts_on: date | None = None
    ends_on: date | None = None


def totals(question: Question, span: Span) -> dict[str, int]:
    """The sums of a span of time."""
    return _named(_hours(question, span).aggregate(**SUMS))


def daily(question: Question) -> dict[date, dict[str, int]]:
    """The sums of each local day of the period that has any."""
    rows = _hours(question, question.period.span).values("day").order_by("day").annotate(**SUMS)
    return {row["day"]: _named(row) for row in rows}


def by_value(
    question: Question, *, dimension: str, sort: str, after: tuple[int, str] | None, limit: int
) -> list[tuple[str, dict[str, int]]]:
    """The values of a dimension, the largest first; `after` is the last (number, value) of the page before."""
    period = question.period
    rows = (
        RollupDimDay.objects.filter(
            campaign_id=question.campaign_id, dimension=dimension, day__gte=period.first, day__lte=period.last
        )
        .values("value")
        .annotate(**SUMS)
        .order_by(f"-sum_{sort}", "value")
    )
    if after is not None:
        number, value = after
        rows = rows.filter(Q(**{f"sum_{sort}__lt": number}) | Q(**{f"sum_{sort}": number, "value__gt": value}))
    return [(row["value"], _named(row)) for row in rows[: min(limit, PAGE_MAX)]]


def _hours(question: Question, span: Span):  # type: ignore[no-untyped-def]
    return RollupHour.objects.filter(campaign_id=question.campaign_id, hour__gte=span.start, hour__lt=span.end)


def _named(row: Mapping[str, object]) -> dict[str, int]:
    return {name: int(row[f"sum_{name}"] or 0) for name in MEASURES}  # type: ignore[call-overload]
