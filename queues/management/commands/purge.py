"""`manage.py purge QUEUE filters --reason … [--dry-run]`: hide items; they can be restored for seven days."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from queues.desk.commands import ActCommand


class Command(ActCommand):
    """Needs a filter or ids: an empty one would mean everything."""

    help = "Purge items: out of sight at once, restorable for seven days."
    act = "purge"

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse to purge everything by mistake."""
        if not any(options[name] for name in ("ids", "status", "kind", "code", "search")):
            raise CommandError("Say what to purge: --id, --status, --type, --code or --search.")
        super().handle(*args, **options)
