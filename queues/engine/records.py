"""Many rows in one statement: a JSON parameter read as a table, the same on PostgreSQL and SQLite.

One parameter instead of thousands: drivers spend more on binding 50 × 20 values than the database on storing them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
ENCODER = json.JSONEncoder(default=str, separators=(",", ":"), ensure_ascii=False)
TEXTS = ("CharField", "TextField", "EmailField", "URLField", "SlugField")


@dataclass(frozen=True, slots=True)
class Records:
    """Rows of given columns as SQL: `source` reads the one parameter that `dump` makes."""

    source: str
    """A row source named `v` with a column for each name, typed as its field."""
    columns: tuple[str, ...]
    prepare: dict[str, Callable[[Any], Any]]
    """How values are stored that JSON cannot carry as they are."""

    def dump(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """The JSON parameter for `source`. A missing name, or None, is NULL. Raises ValueError for NUL.

        Not as ASCII: half a surrogate pair must fail in the driver, for SQLite would store what it cannot read again.
        """
        if self.prepare:
            rows = [
                {
                    name: self.prepare[name](value) if name in self.prepare and value is not None else value
                    for name, value in row.items()
                }
                for row in rows
            ]
        text = ENCODER.encode(rows if isinstance(rows, list) else list(rows))
        if "\\u0000" in text and NUL.search(text):
            raise ValueError("a value holds NUL, which no database keeps: SQLite would cut the text there")
        return text


@functools.cache
def of(alias: str, model: type[models.Model], columns: tuple[str, ...]) -> Records:
    """The records of some of a model's columns; one of `models.Model` itself has no table and is only read."""
    return build(alias, {column: _field(model, column) for column in columns})


def build(alias: str, fields: Mapping[str, models.Field[Any, Any]]) -> Records:
    """The records of these columns (name → field), for the database `alias`."""
    connection = connections[alias]
    if connection.vendor == "postgresql":
        columns = ", ".join(f'"{name}" {_pg_type(connection, field)}' for name, field in fields.items())
        source = f"json_to_recordset(%s::json) AS v({columns})"
    else:
        # `->` keeps JSON as JSON: a scalar in a JSONField stays quoted.
        arrow = {name: "->" if isinstance(field, models.JSONField) else "->>" for name, field in fields.items()}
        columns = ", ".join(f"value {arrow[name]} '$.{name}' AS \"{name}\"" for name in fields)
        source = f"(SELECT {columns} FROM json_each(%s)) AS v"
    prepare = {name: found for name, field in fields.items() if (found := _preparer(connection, field))}
    return Records(source, tuple(fields), prepare)


def _field(model: type[models.Model], column: str) -> models.Field[Any, Any]:
    return next(field for field in model._meta.concrete_fields if field.column == column)


def _pg_type(connection: BaseDatabaseWrapper, field: models.Field[Any, Any]) -> str:
    # As text, so that a value too long is refused by the column; a cast to varchar(n) would cut it in silence.
    if field.get_internal_type() in TEXTS:
        return "text"
    return str(field.rel_db_type(connection) if field.primary_key else field.db_type(connection))


def _preparer(connection: BaseDatabaseWrapper, field: models.Field[Any, Any]) -> Callable[[Any], Any] | None:
    """None where JSON carries the value as it is."""
    if isinstance(field, models.DateTimeField | models.UUIDField) and connection.vendor != "postgresql":
        return lambda value: field.get_db_prep_value(value, connection)
    return None
