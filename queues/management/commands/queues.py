"""`manage.py queues`: how each queue stands, as a table; with a verb, what the desk can do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from queues.desk import marks, overview, verbs
from queues.engine import registry

HEAD = ("queue", "waiting", "oldest due", "processing", "retrying", "dead", "paused")


class Command(BaseCommand):
    """The desk from a shell."""

    help = "Show depth, oldest due item, retries, dead letters and pauses of every queue; or do something with them."

    def add_arguments(self, parser: CommandParser) -> None:
        """The verbs."""
        verbs.add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """The verb, or the table."""
        if options["verb"]:
            verbs.handle(self, options)
            return
        now = timezone.now()
        rows = [HEAD]
        for figures in overview.figures(registry.all_queues(), now=now):
            oldest = figures.oldest_due_at
            paused = ", ".join(pause.kind or "all of it" for pause in figures.pauses)
            counts = (str(figures.running), str(figures.retrying), str(figures.dead))
            age = marks.span(now - oldest) if oldest else "-"
            rows.append((figures.queue, str(figures.waiting), age, *counts, paused or "no"))
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())
