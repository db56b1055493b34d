"""`manage.py sync_schedules`: make django-q2's schedules match the table of recurring work."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from queues.engine import recurring


class Command(BaseCommand):
    help = "Create, update and delete our schedules until they match config/schedules.py; others are left alone."

    def handle(self, **options: Any) -> None:
        counts = recurring.sync(recurring.table(), now=timezone.now())
        said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        self.stdout.write(f"schedules: {said or 'nothing to change'}")
