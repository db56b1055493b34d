"""Questions to a big table that may not take long: a count with a cap, a page with a time limit.

A cap alone does not protect: where matches are rare, the scan runs to the table's end. So each question has a budget
of milliseconds, after which the database gives it up.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.paginator import Paginator
from django.db import OperationalError, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.functional import cached_property

CAP = 10_000
BUDGET_MS = 1500
SQLITE_STEPS = 20_000
"""Virtual machine steps between two looks at the clock: a fraction of a millisecond."""


class TookTooLong(Exception):
    """The database gave the question up."""


@dataclass(frozen=True, slots=True)
class Count:
    """A number that says how exact it is: `capped` means "that many or more", None that counting took too long."""

    number: int | None
    capped: bool = False
    estimated: bool = False
    """The database's guess: it was not counted."""

    def __str__(self) -> str:
        if self.number is None:
            return "many"
        if self.estimated:
            return f"≈ {self.number:,}"
        return f"{self.number:,}+" if self.capped else f"{self.number:,}"

    def __bool__(self) -> bool:
        return self.number != 0


@contextmanager
def budget(using: str, *, milliseconds: int = BUDGET_MS) -> Iterator[None]:
    """Raise `TookTooLong` if a statement inside takes longer. The caller's transaction, if any, stays usable."""
    connection = connections[using]
    nested = connection.in_atomic_block
    try:
        with transaction.atomic(using=using), _limit(connection, milliseconds, restore=nested):
            yield
    except OperationalError as error:
        if not _gave_up(error):
            raise
        raise TookTooLong from error


def count(
    rows: models.QuerySet[models.Model], *, cap: int = CAP, milliseconds: int = BUDGET_MS, or_estimate: bool = False
) -> Count:
    """How many rows, looking at `cap` + 1 of them at most; what takes too long is estimated, if that is wanted."""
    try:
        with budget(rows.db, milliseconds=milliseconds):
            number = rows.order_by()[: cap + 1].count()
    except TookTooLong:
        return estimate(rows) if or_estimate else Count(None)
    return Count(min(number, cap), capped=number > cap)


def estimate(rows: models.QuerySet[models.Model]) -> Count:
    """What the planner expects, to two digits: it knows no more. Unknown on a database that does not say."""
    if connections[rows.db].vendor != "postgresql":
        return Count(None)
    plan = json.loads(rows.order_by().values("pk").explain(format="json"))
    expected = int(plan[0]["Plan"]["Plan Rows"])
    step = 10 ** max(len(str(expected)) - 2, 0)
    return Count(round(expected / step) * step, estimated=True)


class Capped(models.Subquery):
    """How many rows a sliced query has, as an expression."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = models.IntegerField()


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Numbered pages over the first `CAP` rows: no count of a whole table, no OFFSET beyond the cap."""

    template_name = "desk/numbered_pager.html"

    @cached_property
    def counted(self) -> Count:
        """The number as it is shown."""
        rows = self.object_list
        return count(rows) if isinstance(rows, models.QuerySet) else Count(len(rows))

    @property
    def count(self) -> int:
        """Rows to make pages of, `CAP` at most."""
        return CAP if self.counted.number is None else self.counted.number


@contextmanager
def _limit(connection: BaseDatabaseWrapper, milliseconds: int, *, restore: bool) -> Iterator[None]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            before = ""
            if restore:
                cursor.execute("SELECT current_setting('statement_timeout')")
                before = cursor.fetchone()[0]
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
            yield
            # After an error it is rolled back with the savepoint; else it would last to the caller's own end.
            if restore:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
        return
    connection.ensure_connection()
    raw = connection.connection
    assert isinstance(raw, sqlite3.Connection)
    deadline = time.monotonic() + milliseconds / 1000
    raw.set_progress_handler(lambda: int(time.monotonic() > deadline), SQLITE_STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def _gave_up(error: OperationalError) -> bool:
    cause = error.__cause__
    return getattr(cause, "sqlstate", "") == "57014" or "interrupted" in str(cause)
