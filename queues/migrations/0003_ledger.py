"""The ledger's tables, and the triggers by which the database itself refuses to change or delete an entry.

A later migration that alters `LedgerEntry` must call `guard` again: SQLite rebuilds the table and loses its triggers.
"""

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE = "queues_ledgerentry"
COLUMNS = (
    "id", "at", "actor_name", "act", "queue", "items", "item_count", "plan", "reason", "result", "request_id",
    "previous", "digest",
)  # fmt: skip
REFUSAL = "the ledger is append-only"

# The one change allowed: the account of `actor` is deleted and the reference becomes NULL.
POSTGRES = f"""
CREATE OR REPLACE FUNCTION queues_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.actor_id IS NULL AND to_jsonb(NEW) - 'actor_id' = to_jsonb(OLD) - 'actor_id' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER queues_ledger_refuse BEFORE UPDATE OR DELETE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION queues_ledger_refuse();
"""
UNCHANGED = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in COLUMNS)
SQLITE = (
    f"""CREATE TRIGGER queues_ledger_refuse_update BEFORE UPDATE ON {TABLE}
    WHEN NOT (NEW.actor_id IS NULL AND {UNCHANGED})
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER queues_ledger_refuse_delete BEFORE DELETE ON {TABLE}
    BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
)


def guard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make the database refuse UPDATE and DELETE."""
    for statement in (POSTGRES,) if editor.connection.vendor == "postgresql" else SQLITE:
        editor.execute(statement, params=None)


def unguard(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Take the triggers away."""
    if editor.connection.vendor == "postgresql":
        editor.execute(f"DROP TRIGGER IF EXISTS queues_ledger_refuse ON {TABLE}")
        editor.execute("DROP FUNCTION IF EXISTS queues_ledger_refuse()")
    else:
        editor.execute("DROP TRIGGER IF EXISTS queues_ledger_refuse_update")
        editor.execute("DROP TRIGGER IF EXISTS queues_ledger_refuse_delete")


class Migration(migrations.Migration):
    dependencies = [("queues", "0002_grant_function"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("actor_name", models.CharField(max_length=200, verbose_name="who")),
                ("act", models.CharField(max_length=50)),
                ("queue", models.CharField(blank=True, default="", max_length=50)),
                ("items", models.JSONField(default=list)),
                ("item_count", models.PositiveIntegerField(default=0, verbose_name="items touched")),
                ("plan", models.TextField(blank=True, default="")),
                ("reason", models.TextField()),
                ("result", models.JSONField(default=dict)),
                ("request_id", models.CharField(blank=True, default="", max_length=100)),
                ("previous", models.CharField(max_length=64, unique=True)),
                ("digest", models.CharField(max_length=64, unique=True)),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "ledger entry", "verbose_name_plural": "ledger entries", "ordering": ("-id",)},
        ),
        migrations.CreateModel(
            name="LedgerItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("queue", models.CharField(max_length=50)),
                ("item_id", models.BigIntegerField()),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="mentions",
                        to="queues.ledgerentry",
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["queue", "item_id"], name="ledgeritem_item")]},
        ),
        migrations.RunPython(guard, unguard),
    ]
