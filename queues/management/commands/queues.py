"""`manage.py queues`: how each queue stands, as a table."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from queues.desk import marks, overview
from queues.engine import registry

HEAD = ("queue", "waiting", "oldest due", "processing", "retrying", "dead", "paused")


class Command(BaseCommand):
    """The figures of the desk's start page."""

    help = "Show depth, oldest due item, retries, dead letters and pauses of every queue."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the table."""
        now = timezone.now()
        rows = [HEAD]
        for queue in registry.all_queues():
            figures = overview.figures(queue, now=now)
            oldest = figures.oldest_due_at
            paused = ", ".join(pause.kind or "all of it" for pause in figures.pauses)
            counts = (str(figures.running), str(figures.retrying), str(figures.dead))
            age = marks.span(now - oldest) if oldest else "-"
            rows.append((queue.name, str(figures.waiting), age, *counts, paused or "no"))
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())
