"""`manage.py work`: run the workers and their clock, and start them again whenever they stop working."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from queues.engine.supervise import SILENCE_SECONDS, AlreadyRunning, Supervisor
from queues.monitor import watchman


class Command(BaseCommand):
    help = "Run django-q2's cluster under a supervisor that restarts it when it dies or falls silent. Ends on SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--beat", type=float, default=5, metavar="SECONDS", help="ask for a heartbeat that often (5)"
        )
        parser.add_argument(
            "--silence",
            type=float,
            default=SILENCE_SECONDS,
            metavar="SECONDS",
            help="restart after that long without a heartbeat (%(default)g)",
        )
        parser.add_argument(
            "--ending",
            type=float,
            default=60,
            metavar="SECONDS",
            help="kill what has not ended that long after SIGTERM (60)",
        )

        parser.add_argument(
            "--watch",
            type=float,
            default=watchman.FIRST_SECONDS,
            metavar="SECONDS",
            help="look at the alerts that need no workers so long after the start (%(default)g), then every 15 s",
        )

    def handle(self, *, beat: float, silence: float, ending: float, watch: float, **options: Any) -> None:
        if not 0 < 2 * beat <= silence:
            raise CommandError("--silence must be at least twice --beat, and both more than 0")
        try:
            with watchman.on_duty(first=watch):
                Supervisor(beat=beat, silence=silence, ending=ending).run()
        except AlreadyRunning as error:
            raise CommandError(str(error)) from error
