"""Which request enqueued an item, and its trace; on PostgreSQL also for what `queues_receive` stores."""

from pathlib import Path

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SOURCE = Path(__file__).resolve().parent.parent / "webhooks" / "receive_with_origin.sql"
SIGNATURE = (
    "queues_receive(int, text, text, text, text, text, bytea, timestamptz, text, bool, text, text, text, bool, text,"
    " timestamptz, text, text)"
)


def create(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the function beside the old one, which the old code still calls, on PostgreSQL."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(SOURCE.read_text(), params=None)


def drop(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove it."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP FUNCTION IF EXISTS {SIGNATURE}", params=None)


class Migration(migrations.Migration):
    dependencies = [("queues", "0042_measures")]

    operations = [
        # Nullable and without a default: added at once, however large the table is.
        migrations.AddField("emailmessage", "origin", models.CharField(editable=False, max_length=130, null=True)),
        migrations.AddField("webhookevent", "origin", models.CharField(editable=False, max_length=130, null=True)),
        migrations.RunPython(create, drop),
    ]
