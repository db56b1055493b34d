"""`manage.py seed_queues --rows N`: a big table to try the desk on."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queues.desk import seeding
from queues.email.models import EmailMessage


class Command(BaseCommand):
    """Made-up mails of the last thirty days: 1 % dead letters of 400 causes, 1 % waiting, due in a year."""

    help = "Fill the e-mail queue with made-up mails in every state, to see how the pages do on a big table."

    def add_arguments(self, parser: CommandParser) -> None:
        """How many, and whether among real ones."""
        parser.add_argument("--rows", type=int, default=100_000, help="how many mails to make")
        parser.add_argument("--among", action="store_true", help="even though there are mails already")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them, refusing a database that holds any unless told otherwise."""
        if not options["among"] and EmailMessage.objects.exists():
            raise CommandError("There are mails in this database already. Add --among to make more among them.")
        made = 0
        for made in seeding.seed(rows=options["rows"], now=timezone.now()):
            if made % 100_000 == 0:
                self.stdout.write(f"{made:,} …")
        self.stdout.write(f"{made:,} mails were made.")
