"""Indexes that the desk's lists and searches read, each over what is rare, or so coarse that writing costs nothing.

    dead_shown, retrying, hidden, uncertain   ids of what a tab shows, so that it is counted without reading rows
    cause                                     the last cause, of rows that have one
    kinds, domains (PostgreSQL)               BRIN: which parts of the table hold a type, a recipient's domain
    recipients                                mails with several recipients, by each of them

Built concurrently on PostgreSQL, so that the queue goes on meanwhile. They stand in no model: how they are written
differs between the databases, and some use functions of theirs.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = {"emailmessage": "queues_emailmessage", "webhookevent": "queues_webhookevent"}
BOTH = {
    "dead_shown": "(id) WHERE status = 'dead_letter' AND hidden_at IS NULL",
    "retrying": "(id) WHERE status = 'retrying'",
    "hidden": "(id) WHERE hidden_at IS NOT NULL",
    "uncertain": "(id) WHERE uncertain_at IS NOT NULL",
}
CAUSE = {
    "postgresql": "(last_code varchar_pattern_ops, id) WHERE last_code <> ''",
    "sqlite": "(last_code, id) WHERE NOT (last_code = '' AND last_code IS NOT NULL)",
}
COARSE = "WITH (pages_per_range = 32, autosummarize = on)"
OWN = {
    "postgresql": {
        "emailmessage_kinds": f"queues_emailmessage USING brin (kind text_bloom_ops) {COARSE}",
        "emailmessage_domains": "queues_emailmessage USING brin "
        f"((substr(recipient, strpos(recipient, '@') + 1)) text_bloom_ops) {COARSE}",
        "emailmessage_recipients": "queues_emailmessage USING gin (recipients jsonb_path_ops) "
        "WHERE jsonb_array_length(recipients) > 1",
        # Webhooks are fewer than mails, and their types are asked for by their beginnings (`charge.*`).
        "webhookevent_kinds": "queues_webhookevent (kind varchar_pattern_ops, id)",
    },
    "sqlite": {
        "emailmessage_recipients": "queues_emailmessage (json_array_length(recipients)) "
        "WHERE json_array_length(recipients) > 1",
    },
}


def _all(vendor: str) -> dict[str, str]:
    found = {
        f"{name}_{what}": f"{table} {how}"
        for name, table in TABLES.items()
        for what, how in [*BOTH.items(), ("cause", CAUSE[vendor])]
    }
    return found | OWN[vendor]


def build(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Make what is missing; one that was left half made by an end in between is made anew."""
    vendor = editor.connection.vendor
    at_once = "CONCURRENTLY " if vendor == "postgresql" else ""
    for name, what in _all(vendor).items():
        editor.execute(f"DROP INDEX {at_once}IF EXISTS {name}")
        editor.execute(f"CREATE INDEX {at_once}{name} ON {what}", params=None)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Take them away."""
    at_once = "CONCURRENTLY " if editor.connection.vendor == "postgresql" else ""
    for name in _all(editor.connection.vendor):
        editor.execute(f"DROP INDEX {at_once}IF EXISTS {name}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("queues", "0036_revisions")]

    operations = [migrations.RunPython(build, drop)]
