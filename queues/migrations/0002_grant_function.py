"""The limiter's grant as one statement (PostgreSQL only; SQLite grants in one transaction)."""

from pathlib import Path

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import queues.engine

SQL = (Path(queues.engine.__file__).parent / "grant.sql").read_text(encoding="utf-8")


def create(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute(SQL, params=None)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP FUNCTION IF EXISTS queues_grant(text[], int[], int[], int[], timestamptz)")


class Migration(migrations.Migration):
    dependencies = [("queues", "0001_tables")]

    operations = [migrations.RunPython(create, drop)]
