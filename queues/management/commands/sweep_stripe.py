"""`manage.py sweep_stripe`: fill the gaps from Stripe's own list of events, and say how much of it we hold."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queues.engine.outcomes import Outcome
from queues.webhooks import sweep


class Command(BaseCommand):
    """Reads what is new since the last sweep, stores what was never delivered, and reports the coverage."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """One switch."""
        parser.add_argument("--anew", action="store_true", help="read all of the last 30 days again")

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep and report."""
        now = timezone.now()
        try:
            found = sweep.sweep(now=now, anew=options["anew"])
        except Outcome as outcome:
            raise CommandError(outcome.words) from outcome
        self.stdout.write(f"{found.missing:,} of {found.listed:,} events read were missing and are stored now.")
        if found.unreadable:
            self.stdout.write(f"{found.unreadable:,} could not be read; the log names them.")
        if found.unread:
            self.stdout.write(f"{found.unread:,} lists are not shown to this key; the log names them.")
        self.stdout.write(f"{sweep.coverage(now=now)}.")
