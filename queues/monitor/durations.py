"""Lengths of time inside the database: milliseconds between two columns, and the histogram's bucket of them."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, F, FloatField, Func, IntegerField, Value, When
from django.db.models.functions import Cast, Ceil, Least, Ln

from queues.monitor import histogram


class Milliseconds(Func):
    """Whole milliseconds from `begin` to `end`; NULL if either is."""

    output_field = FloatField()

    def __init__(self, begin: Any, end: Any, **extra: Any) -> None:
        super().__init__(end, begin, **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """An interval, in seconds, to the microsecond."""
        template = "ROUND(EXTRACT(EPOCH FROM (%(expressions)s)) * 1000)::double precision"
        return self.as_sql(compiler, connection, template=template, arg_joiner=" - ", **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Julian days: exact to the millisecond."""
        sources = self.get_source_expressions()
        days = [Func(source, function="JULIANDAY", output_field=FloatField()) for source in sources]
        copy = self.copy()
        copy.set_source_expressions(days)
        template = "ROUND((%(expressions)s) * 86400000.0)"
        return copy.as_sql(compiler, connection, template=template, arg_joiner=" - ", **context)


def bucket(column: str) -> Case:
    """`histogram.bucket` of a column of milliseconds; NULL where it is NULL."""
    logarithm = Ln(F(column)) / Value(histogram.LOG, FloatField()) - Value(1e-9, FloatField())
    return Case(
        When(**{f"{column}__lte": 1}, then=Value(0)),
        When(
            **{f"{column}__gt": 1},
            then=Cast(Least(Ceil(logarithm), Value(histogram.TOP, FloatField())), IntegerField()),
        ),
        default=Value(None, IntegerField()),
        output_field=IntegerField(),
    )
