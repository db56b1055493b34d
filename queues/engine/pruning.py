"""Deleting what is past its time: in batches of their own transaction, so small that none holds its locks for long."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from django.db import models, router, transaction

LOCK_SECONDS = 0.1
"""No batch may hold its locks longer; each is sized so that it takes a third of that."""
FIRST, LEAST, MOST = 200, 20, 5_000


class Pace:
    """How many rows the next batch may have, by how long the last one took."""

    def __init__(self, *, first: int = FIRST) -> None:
        self.size = first
        self.longest = 0.0

    def took(self, seconds: float) -> None:
        """Note how long a batch held its locks."""
        self.longest = max(self.longest, seconds)
        if seconds > LOCK_SECONDS / 3:
            self.size = max(LEAST, self.size // 2)
        elif seconds < LOCK_SECONDS / 10:
            self.size = min(MOST, self.size * 2)


def prune(old: models.QuerySet[Any], *, pace: Pace | None = None) -> int:
    """Delete the rows of a query that nothing refers to; returns how many. Walks the table once by its key."""
    pace, gone = pace or Pace(), 0
    rows, last = old.order_by("pk"), None
    using = router.db_for_write(old.model)
    while True:
        window = rows.filter(pk__gt=last) if last is not None else rows
        keys = list(window.values_list("pk", flat=True)[: pace.size])
        if not keys:
            return gone
        last = keys[-1]
        begun = time.monotonic()
        with transaction.atomic(using=using):
            gone += old.filter(pk__in=keys).delete()[0]
        pace.took(time.monotonic() - begun)


def paced(keys: Iterable[Any], *, pace: Pace) -> Iterable[list[Any]]:
    """Cut keys into batches of the size that is right at that time; who takes them tells `pace` how long each took."""
    batch: list[Any] = []
    for key in keys:
        batch.append(key)
        if len(batch) >= pace.size:
            yield batch
            batch = []
    if batch:
        yield batch
