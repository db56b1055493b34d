"""Keyset cursors of an item list: newest first by id, dead letters by when they died (their own partial index)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from queues.desk.selection import ID_MAX
from queues.engine.item import QueueItem
from queues.engine.states import Status

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORM = re.compile(r"(?:([0-9]{1,17})\.)?([0-9]{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Edge:
    """The item that a page begins or ends at."""

    pk: int
    dead_at: datetime | None = None

    def older(self) -> Q:
        """What comes behind it in the list."""
        if self.dead_at is None:
            return Q(pk__lt=self.pk)
        # The first condition is what the index serves; the second only breaks ties.
        return Q(dead_at__lte=self.dead_at) & (Q(dead_at__lt=self.dead_at) | Q(pk__lt=self.pk))

    def newer(self) -> Q:
        """What comes before it in the list."""
        if self.dead_at is None:
            return Q(pk__gt=self.pk)
        return Q(dead_at__gte=self.dead_at) & (Q(dead_at__gt=self.dead_at) | Q(pk__gt=self.pk))


def order(status: str) -> tuple[str, ...]:
    """The list's order for this state filter."""
    return ("-dead_at", "-pk") if status == Status.DEAD_LETTER else ("-pk",)


def of(item: QueueItem, status: str) -> str:
    """The cursor of an item: `<id>`, or `<microseconds>.<id>` among dead letters."""
    if status == Status.DEAD_LETTER and item.dead_at is not None:
        return f"{(item.dead_at - EPOCH) // timedelta(microseconds=1)}.{item.pk}"
    return str(item.pk)


def parse(text: str, status: str) -> Edge | None:
    """The edge a cursor names, or None for one that names nothing in this order (the list then begins anew)."""
    found = FORM.fullmatch(text)
    if found is None or int(found[2]) > ID_MAX or bool(found[1]) != (status == Status.DEAD_LETTER):
        return None
    return Edge(int(found[2]), EPOCH + timedelta(microseconds=int(found[1])) if found[1] else None)
