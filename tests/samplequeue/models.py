"""The tables of the test queues; made by the test database's creation, never migrated."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from queues.engine.item import QueueItem


class Job(QueueItem):
    """An item with one column of each kind that a settlement or an enqueue writes."""

    SETTLED_FIELDS: ClassVar[tuple[str, ...]] = ("answer", "answer_data")

    note = models.TextField(default="", db_default="")
    size = models.IntegerField(null=True)
    flag = models.BooleanField(null=True)
    moment = models.DateTimeField(null=True)
    data = models.JSONField(null=True)
    answer = models.CharField(max_length=50, default="", db_default="")
    answer_data = models.JSONField(null=True)

    class Meta(QueueItem.Meta):
        app_label = "samplequeue"


class LanedJob(QueueItem):
    """An item that excludes others of its lane."""

    LANES: ClassVar[bool] = True

    class Meta(QueueItem.Meta):
        app_label = "samplequeue"


class Effect(models.Model):
    """What a handler's effect left behind: one row a run, so that doubles show."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name
