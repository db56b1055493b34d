"""`Tombstone`: what stays of a deleted item, so that its idempotency key is answered for ever."""

from __future__ import annotations

from django.db import models


class Tombstone(models.Model):
    """Key, id and final status of an item whose row is gone."""

    queue = models.CharField(max_length=50)
    key = models.CharField(max_length=255)
    item_id = models.BigIntegerField()
    status = models.CharField(max_length=12)
    content_hash = models.CharField(max_length=64, default="", db_default="")
    buried_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "key"], name="tombstone_one_a_key")]

    def __str__(self) -> str:
        return f"{self.queue} {self.item_id}: {self.status}"
