"""The questions that panels ask the rollups: of one campaign, of at most 90 days, at most 100 rows a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.db import connections, router

from analytics.models import MEASURES, RollupDimDay, RollupHour
from analytics.periods import Period, Span

PAGE_MAX = 100
# By hand: the ORM takes longer to put twelve sums together than the database to add them up.
SUMS = ", ".join(f"sum({name})" for name in MEASURES)
HOURS = f"FROM {RollupHour._meta.db_table} WHERE campaign_id = %s AND hour >= %s AND hour < %s"
VALUES = f"FROM {RollupDimDay._meta.db_table} WHERE campaign_id = %s AND dimension = %s AND day >= %s AND day <= %s"

_answered: ContextVar[dict[tuple[str, tuple[Any, ...]], list[Any]] | None] = ContextVar("answered", default=None)


@contextmanager
def once() -> Iterator[None]:
    """Inside, the same question is asked once: several panels want the same sums of the same moment."""
    token = _answered.set({})
    try:
        yield
    finally:
        _answered.reset(token)


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
    return _named(_rows(f"SELECT {SUMS} {HOURS}", _hours(question, span))[0])


def daily(question: Question) -> dict[date, dict[str, int]]:
    """The sums of each local day of the period that has any."""
    sql = f"SELECT day, {SUMS} {HOURS} GROUP BY day ORDER BY day"
    rows = _rows(sql, _hours(question, question.period.span))
    return {day if isinstance(day, date) else date.fromisoformat(day): _named(sums) for day, *sums in rows}


def by_value(
    question: Question, *, dimension: str, sort: str, after: tuple[int, str] | None, limit: int
) -> list[tuple[str, dict[str, int]]]:
    """The values of a dimension, the largest first; `after` is the last (number, value) of the page before.

    `sort` is one of `MEASURES`. Raises ValueError for anything else.
    """
    if sort not in MEASURES:
        raise ValueError(f"nothing is summed under the name {sort!r}")
    period = question.period
    parameters: list[Any] = [question.campaign_id, dimension, period.first.isoformat(), period.last.isoformat()]
    having = ""
    if after is not None:
        having = f"HAVING sum({sort}) < %s OR (sum({sort}) = %s AND value > %s)"
        parameters += [after[0], after[0], after[1]]
    sql = f"SELECT value, {SUMS} {VALUES} GROUP BY value {having} ORDER BY sum({sort}) DESC, value LIMIT %s"
    return [(value, _named(sums)) for value, *sums in _rows(sql, [*parameters, min(limit, PAGE_MAX)])]


def _hours(question: Question, span: Span) -> list[Any]:
    connection = connections[router.db_for_read(RollupHour)]
    column: Any = RollupHour._meta.get_field("hour")
    ends = [column.get_db_prep_value(moment, connection) for moment in (span.start, span.end)]
    return [question.campaign_id, *ends]


def _rows(sql: str, parameters: Sequence[Any]) -> list[Any]:
    known, key = _answered.get(), (sql, tuple(parameters))
    if known is not None and key in known:
        return known[key]
    with connections[router.db_for_read(RollupHour)].cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
    if known is not None:
        known[key] = rows
    return rows


def _named(sums: Sequence[Any]) -> dict[str, int]:
    return {name: int(each or 0) for name, each in zip(MEASURES, sums, strict=True)}
