"""`manage.py purge QUEUE filters --reason … [--dry-run]`: hide items; they can be restored for seven days."""

from __future__ import annotations

from queues.desk.commands import ActCommand


class Command(ActCommand):
    """Needs a filter or ids: an empty one would mean everything."""

    help = "Purge items: out of sight at once, restorable for seven days."
    act = "purge"
