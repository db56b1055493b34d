"""`Revision`: what staff changed of an item's contents, with the values before, so that the original stays readable."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models


class Revision(models.Model):
    """One edit. It points at an item of any queue by (queue, item_id), and goes when the item's contents go."""

    queue = models.CharField(max_length=50)
    item_id = models.BigIntegerField()
    made_at = models.DateTimeField()
    actor_name = models.CharField(max_length=200)
    before = models.JSONField(default=dict)
    """Column → its value before, of the columns that changed; what they became is in `after`."""
    after = models.JSONField(default=dict)
    entry_id = models.BigIntegerField(null=True)
    """The ledger entry of the edit, which holds digests of both."""

    class Meta:
        indexes = [models.Index(fields=["queue", "item_id", "id"], name="revision_item")]

    def __str__(self) -> str:
        return f"{self.queue} {self.item_id}: {', '.join(self.before)}"


def of_item(*, queue: str, item_id: int) -> list[Revision]:
    """The edits of one item, oldest first."""
    return list(Revision.objects.filter(queue=queue, item_id=item_id).order_by("id")[:100])


def forget(*, queue: str, items: Iterable[int]) -> None:
    """The contents of these items are removed: what they were before goes with them."""
    Revision.objects.filter(queue=queue, item_id__in=list(items)).delete()
