"""`manage.py drain QUEUE`: run one queue until nothing is due."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from queues.engine import registry
from queues.engine.drain import Drain


class Command(BaseCommand):
    help = "Run everything that is due in a queue, in this process, and print what became of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queue", help="for example: email")

    def handle(self, *, queue: str, **options: Any) -> None:
        try:
            found = registry.get(queue)
        except LookupError as error:
            raise CommandError(str(error.args[0])) from error
        counts = Drain(found).run()
        said = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(counts.items()))
        self.stdout.write(f"{queue}: {said or 'nothing was due'}")
