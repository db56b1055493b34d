"""`manage.py verify_ledger`: walk the ledger's chain and say whether it is whole."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from queues.desk import ledger


class Command(BaseCommand):
    """Exit status 1 if anything was changed, taken out or put in."""

    help = "Verify that the ledger of staff acts is complete and unchanged."

    def add_arguments(self, parser: CommandParser) -> None:
        """What was noted earlier."""
        parser.add_argument("--head", default="", help="a digest noted earlier (the log has them) that must be in it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify and print."""
        verdict = ledger.verify(head=options["head"])
        if not verdict.whole:
            at = f" at entry {verdict.broken_at}" if verdict.broken_at else ""
            raise CommandError(f"The ledger is broken{at}: {verdict.why}.")
        self.stdout.write(f"The ledger is whole: {verdict.entries} entries, head {verdict.head}")
