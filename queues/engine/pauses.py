"""`Pause`: staff stop a queue, or one type of its items, from being handed out."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q


class Pause(models.Model):
    """One queue (`kind` empty) or one type of it hands out nothing until resumed."""

    queue = models.CharField(max_length=50)
    kind = models.CharField("type", max_length=100, blank=True, default="")
    reason = models.CharField(max_length=500)
    paused_at = models.DateTimeField()
    paused_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    resume_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "kind"], name="pause_one_a_type")]

    def __str__(self) -> str:
        return f"{self.queue} {self.kind}".strip()


def paused_kinds(*, queue: str, now: datetime) -> list[str]:
    """The paused types of the queue; `""` among them means the whole queue. One small query."""
    in_force = Pause.objects.filter(queue=queue).exclude(Q(resume_at__isnull=False) & Q(resume_at__lte=now))
    return list(in_force.values_list("kind", flat=True))
