"""The states of a queue item, and which of them wait, run and end.

pending ──claim──▶ processing ──ack──▶ succeeded
   ▲                 │  │  └──cancel──▶ cancelled   ◀── discard (staff)
   │                 │  └─dead_letter─▶ dead_letter ──redrive (staff)──▶ pending
   └───(due_at)── retrying ◀── retry / snooze / reclaim
succeeded | cancelled ──replay (staff)──▶ pending
"""

from __future__ import annotations

from django.db import models


class Status(models.TextChoices):
    """Where an item stands. The database refuses any other word."""

    PENDING = "pending", "Pending"
    """Never run since it was enqueued, redriven or replayed; runs once `due_at` has come."""
    RETRYING = "retrying", "Retrying"
    """Ran, or lost its worker, and runs again once `due_at` has come."""
    PROCESSING = "processing", "Processing"
    """A worker holds its lease until `leased_until`."""
    SUCCEEDED = "succeeded", "Succeeded"
    CANCELLED = "cancelled", "Cancelled"
    """Nothing was to be done, or staff discarded it; `last_words` says why."""
    DEAD_LETTER = "dead_letter", "Dead letter"
    """The schedule is used up or trying again cannot help; waits for staff."""


WAITING = (Status.PENDING, Status.RETRYING)
FINISHED = (Status.SUCCEEDED, Status.CANCELLED)
"""Final without staff; what is pruned after its time. A dead letter stays until staff decide."""


class Priority(models.IntegerChoices):
    """Which due item is claimed first. Few levels, so that a claim looks at each with one index probe."""

    URGENT = 0, "Urgent"
    HIGH = 1, "High"
    NORMAL = 2, "Normal"
    LOW = 3, "Low"
