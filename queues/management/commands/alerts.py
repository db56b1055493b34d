"""`manage.py alerts`: the open alerts; `alerts evaluate` looks now; `alerts test` tries every channel."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queues.monitor import evaluate, notice, outbox
from queues.monitor.models import Alert, AlertDelivery


class Command(BaseCommand):
    """Exit status 1 if the test could not be delivered."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do."""
        parser.add_argument("act", nargs="?", choices=["list", "evaluate", "test"], default="list")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and print."""
        {"list": self.show, "evaluate": self.evaluate, "test": self.test}[options["act"]]()

    def show(self) -> None:
        """A line for each open alert."""
        rows = Alert.objects.exclude(state=Alert.State.RESOLVED).order_by("severity", "rule", "scope")
        for row in rows:
            self.stdout.write(f"{row.state:13}{row.severity:8}{notice.title(row)} ({row.scope or 'all'}): {row.words}")
        if not rows:
            self.stdout.write("No alerts are open.")

    def evaluate(self) -> None:
        """Every rule, as the schedule does it each minute."""
        done = evaluate.everything(now=timezone.now())
        self.stdout.write(f"{done.rules} rules looked at, {done.written} messages written, {done.sent} sent.")
        self.show()

    def test(self) -> None:
        """One message through each channel, waited for."""
        now = timezone.now()
        rows = outbox.test(now=now)
        if not rows:
            raise CommandError("Nobody would be told: neither ALERT_EMAILS nor ALERT_WEBHOOK_URL is set.")
        outbox.deliver(now=now, only=[row.pk for row in rows])
        failed = 0
        for row in AlertDelivery.objects.filter(pk__in=[row.pk for row in rows]):
            said = "sent" if row.sent_at else "FAILED"
            failed += row.sent_at is None
            self.stdout.write(f"{row.get_channel_display()} to {row.to}: {said}: {row.last_words}")
            # A test is not tried again: whoever typed it has seen what happened.
            AlertDelivery.objects.filter(pk=row.pk, sent_at__isnull=True).update(next_try_at=None, given_up_at=now)
        if failed:
            raise CommandError(f"{failed} of {len(rows)} could not be delivered.")
