"""`manage.py demo_data`: log-ins, mail and history to look at; part of `make up`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config.demo import data


class Command(BaseCommand):
    help = "Load the demo's log-ins, mail and history. Safe to repeat; only where DEMO is switched on."

    def handle(self, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("Demo data goes only where DEMO=1 is set, which `make up` does.")
        made = data.load(passwords=settings.DEMO_LOGINS, now=timezone.now())
        self.stdout.write(", ".join(f"{count} {what}" for what, count in made.items()) + " made")
