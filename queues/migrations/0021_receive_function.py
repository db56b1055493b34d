"""PostgreSQL's `queues_receive`: stores an event in one statement that waits for no lock longer than it is told."""

from pathlib import Path

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SOURCE = Path(__file__).resolve().parent.parent / "webhooks" / "receive.sql"


def create(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the function, on PostgreSQL."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(SOURCE.read_text(), params=None)


def drop(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove it."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION IF EXISTS queues_receive")


class Migration(migrations.Migration):
    dependencies = [("queues", "0020_webhooks")]

    operations = [migrations.RunPython(create, drop)]
