"""The cursor of the engine's own few statements: on PostgreSQL their plans are kept from one execution to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def cursor(connection: BaseDatabaseWrapper) -> Iterator[Any]:
    """A cursor like `connection.cursor()`, whose statements PostgreSQL prepares once they recur.

    Django puts parameters into the text of a statement, which is planned anew each time: half of what PostgreSQL
    spends on a claim or a settlement. The connection's `prepare_threshold` says from which execution on.
    """
    if connection.vendor != "postgresql":
        with connection.cursor() as plain:
            yield plain
        return
    from django.db.backends.postgresql.base import TIMESTAMPTZ_OID, ServerBindingCursor
    from django.db.backends.postgresql.psycopg_any import register_tzloader

    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        bound: Any = cast(Any, ServerBindingCursor)(connection.connection)
        if connection.timezone != connection.connection.adapters.get_loader(TIMESTAMPTZ_OID, 0).timezone:
            register_tzloader(connection.timezone, bound)
    with connection._prepare_cursor(bound) as prepared:  # type: ignore[attr-defined]
        yield prepared


@contextmanager
def pipeline(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """On PostgreSQL, statements executed inside are sent and not waited for: it works on one while the next is being
    made. Their results can be fetched afterwards, and the first error is raised at the end.
    """
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def plan_anew(connection: BaseDatabaseWrapper) -> None:
    """Have kept plans made again at their next use: one made while a table was empty reads all of it once it is full,
    and only the next ANALYZE, a minute later or more, would tell.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as plain:
            plain.execute("DISCARD PLANS")
