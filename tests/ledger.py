"""Lets a transactional test on SQLite be cleaned up although the database refuses to delete from the ledger.

After such a test Django empties every table: PostgreSQL by TRUNCATE, SQLite by DELETE, which the trigger refuses.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection


@pytest.fixture(autouse=True)
def _ledger_can_be_emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty the ledger just before Django empties all tables."""
    marker = request.node.get_closest_marker("django_db")
    by_marker = marker is not None and marker.kwargs.get("transaction")
    if not by_marker and not {"transactional_db", "live_server"} & set(request.fixturenames):
        yield
        return
    request.getfixturevalue("_django_db_helper")  # set up before this fixture, so torn down after it
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'queues_ledger%%'")
            triggers = cursor.fetchall()
            for name, _sql in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute("DELETE FROM queues_ledgeritem")
            cursor.execute("DELETE FROM queues_ledgerentry")
            for _name, sql in triggers:
                cursor.execute(sql)
