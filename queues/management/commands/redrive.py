"""`manage.py redrive QUEUE [filters] --reason … [--dry-run]`: dead letters back to pending."""

from __future__ import annotations

from queues.desk.commands import ActCommand
from queues.engine.states import Status


class Command(ActCommand):
    """All dead letters of the queue, or those the filters name."""

    help = "Redrive dead letters: back to pending, due at once, with a whole new schedule."
    act = "redrive"
    default_status = Status.DEAD_LETTER
