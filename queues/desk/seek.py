"""Expressions that let a list begin where its rows are: by time without an index on time, by domain, by any recipient.

Each is written as an index of migration 0037 says it, literals and all, or the databases do not see that it serves.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, F, Func, Lookup, TextField
from django.db.models.expressions import Expression, RawSQL

TABLE = '"queues_emailmessage"'
SLACK = timedelta(minutes=15)
"""Ids grow with time, but not to the second: transactions overlap, and some rows are dated by their sender."""


class IdAt(Expression):
    """The id up to which rows were made until a moment: the primary key halved some thirty times, in one statement."""

    output_field = BigIntegerField()
    _SQL = """(WITH RECURSIVE seek(low, high) AS (
        SELECT (SELECT MIN(id) FROM {table}), (SELECT MAX(id) FROM {table})
        UNION ALL
        SELECT
            CASE WHEN {middle} <= %s THEN (low + high + 1) / 2 ELSE low END,
            CASE WHEN {middle} <= %s THEN high ELSE (low + high + 1) / 2 - 1 END
        FROM seek WHERE low < high
    ) SELECT MAX(low) FROM seek)"""
    _MIDDLE = "(SELECT created_at FROM {table} WHERE id <= (low + high + 1) / 2 ORDER BY id DESC LIMIT 1)"

    def __init__(self, at: datetime) -> None:
        self.at = at
        super().__init__()

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The statement, on the table of the query that it stands in."""
        table = f'"{query.model._meta.db_table}"'
        sql = self._SQL.format(table=table, middle=self._MIDDLE.format(table=table))
        return RawSQL(sql, (self.at, self.at), BigIntegerField())  # noqa: S611 - our table's name


class Domain(Func):
    """What stands behind the @ of the first recipient."""

    output_field = TextField()

    def __init__(self) -> None:
        super().__init__(F("recipient"))

    def as_sql(self, compiler: Any, connection: Any, **more: Any) -> Any:  # type: ignore[override]
        """As the index has it; SQLite has none for it."""
        find = "instr" if connection.vendor == "sqlite" else "strpos"
        template = f"substr(%(expressions)s, {find}(%(expressions)s, '@') + 1)"
        return super().as_sql(compiler, connection, template=template, **more)


class AmongRecipients(Lookup):
    """Whether a mail with several recipients goes to this address. Those with one are found by that.

    A lookup and not a function: Django would compare that with TRUE, and SQLite then not see its index.
    """

    lookup_name = "among_recipients"
    prepare_rhs = False

    def __init__(self, address: Any) -> None:
        super().__init__(F("recipients"), address)

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """Through the ids of the few mails with several, which an index by the array's length holds."""
        column, params = compiler.compile(self.lhs)
        table, _, name = column.rpartition(".")
        few = f"json_array_length(few.{name}) > 1"
        one = f"EXISTS (SELECT 1 FROM json_each(few.{name}) WHERE value = %s)"  # noqa: S608 - a column's name
        ids = f'SELECT few."id" FROM {TABLE} few WHERE {few} AND {one}'  # noqa: S608 - our table's name
        return f'{table}."id" IN ({ids})', (*params, self.rhs)

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """Through the inverted index."""
        column, params = compiler.compile(self.lhs)
        sql = f"(jsonb_array_length({column}) > 1 AND {column} @> jsonb_build_array(%s::text))"
        return sql, (*params, *params, self.rhs)
