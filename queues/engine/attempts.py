"""`Attempt`: the history of every run of every item; written together with the settlement it belongs to."""

from __future__ import annotations

from django.db import models


class Attempt(models.Model):
    """One run. It points at an item of any queue by (queue, item_id), and outlives the item's own columns.

    `outcome`: `ack`, `retry`, `snooze`, `cancel`, `dead_letter`, or `lost` (its worker died, it was reclaimed).
    `words`: what the other side said, or the traceback's last line; never a secret or a body.
    """

    queue = models.CharField(max_length=50)
    item_id = models.BigIntegerField()
    number = models.PositiveIntegerField()
    """Which run of the item it was, counted since it was enqueued (redrives do not reset it)."""
    started_at = models.DateTimeField(null=True)
    duration_ms = models.PositiveIntegerField(default=0, db_default=0)
    outcome = models.CharField(max_length=12)
    code = models.CharField(max_length=100, default="", db_default="")
    words = models.TextField(default="", db_default="")
    via = models.CharField(max_length=200, default="", db_default="")
    """The transport or handler that ran."""
    worker = models.CharField(max_length=100, default="", db_default="")
    charged = models.BooleanField(default=True, db_default=True)

    class Meta:
        indexes = [
            models.Index(fields=["queue", "item_id"], name="attempt_item"),
            models.Index(fields=["queue", "started_at"], name="attempt_started"),
        ]

    def __str__(self) -> str:
        return f"{self.queue} {self.item_id} run {self.number}: {self.outcome}"
