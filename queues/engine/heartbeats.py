"""`Heartbeat`: proof that a part of the system could do work a moment ago."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models


class Heartbeat(models.Model):
    """`name` is the part (`cluster:host`, `drain:email:host`); `detail` is for people."""

    name = models.CharField(max_length=200, unique=True)
    seen_at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


def beat(*, name: str, now: datetime, **detail: Any) -> None:
    """Say that `name` works."""
    Heartbeat.objects.update_or_create(name=name, defaults={"seen_at": now, "detail": detail})


def age(*, name: str, now: datetime) -> timedelta | None:
    """Since when nothing was heard of `name`; None if it was never heard."""
    seen_at = Heartbeat.objects.filter(name=name).values_list("seen_at", flat=True).first()
    return None if seen_at is None else now - seen_at
