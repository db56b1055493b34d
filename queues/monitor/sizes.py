"""How large our tables are: bytes where the database says so, rows by its own estimate, never by counting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.db import connection

OURS = ("queues", "notifications", "payments", "analytics", "django_q")


@dataclass(frozen=True, slots=True)
class Size:
    """One table. `rows` is an estimate; `size` in bytes with its indexes, None where it is not known."""

    table: str
    noun: str
    rows: int | None
    size: int | None


def tables() -> list[Size]:
    """All of ours, the largest first."""
    nouns = {
        model._meta.db_table: str(model._meta.verbose_name_plural)
        for app in OURS
        if apps.is_installed(app)
        for model in apps.get_app_config(app).get_models(include_auto_created=True)
    }
    found = _postgres(nouns) if connection.vendor == "postgresql" else _sqlite(nouns)
    return sorted(found, key=lambda each: (-(each.size or 0), -(each.rows or 0), each.table))


def whole() -> int | None:
    """The database in bytes."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    path = Path(str(connection.settings_dict["NAME"]))
    return path.stat().st_size if path.exists() else None


def _postgres(nouns: dict[str, str]) -> list[Size]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, GREATEST(c.reltuples, s.n_live_tup)::bigint, pg_total_relation_size(c.oid)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid"
            " WHERE c.relname = ANY(%s) AND c.relkind = 'r' AND n.nspname = ANY(current_schemas(false))",
            [list(nouns)],
        )
        return [Size(table, nouns[table], max(rows, 0), size) for table, rows, size in cursor.fetchall()]


def _sqlite(nouns: dict[str, str]) -> list[Size]:
    """The highest row id, which costs one probe. Bytes of a table SQLite only tells by reading the whole file."""
    known = set(connection.introspection.table_names()) & set(nouns)
    one = "SELECT '{0}', (SELECT MAX(rowid) FROM \"{0}\")"  # the names are our own
    probes = " UNION ALL ".join(one.format(table) for table in sorted(known))
    with connection.cursor() as cursor:
        cursor.execute(probes)
        return [Size(table, nouns[table], rows or 0, None) for table, rows in cursor.fetchall()]
