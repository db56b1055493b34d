"""The index of causes on SQLite, in the words that Django asks it with; PostgreSQL has it already."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = {"emailmessage": "queues_emailmessage", "webhookevent": "queues_webhookevent"}
WORDS = "NOT (last_code = '')"
BEFORE = "NOT (last_code = '' AND last_code IS NOT NULL)"


def _make(editor: BaseDatabaseSchemaEditor, words: str) -> None:
    if editor.connection.vendor == "sqlite":
        for name, table in TABLES.items():
            editor.execute(f"DROP INDEX IF EXISTS {name}_cause")
            editor.execute(f"CREATE INDEX {name}_cause ON {table} (last_code, id) WHERE {words}", params=None)


def build(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """As it is asked."""
    _make(editor, WORDS)


def back(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """As it was."""
    _make(editor, BEFORE)


class Migration(migrations.Migration):
    dependencies = [("queues", "0045_origin")]

    operations = [migrations.RunPython(build, back)]
