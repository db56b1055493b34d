"""Attempts that were refused: each is a ledger entry in a transaction of its own, for the act's own never was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.db import router, transaction

from queues.desk import ledger
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor


@contextmanager
def noted(
    *, actor: Actor, act: str, queue: str, now: datetime, reason: str = "", items: Sequence[int] = ()
) -> Iterator[None]:
    """Record it if what is inside raises PermissionDenied, and raise that on. Not around a GET, which only looks."""
    try:
        yield
    except PermissionDenied:
        with transaction.atomic(using=router.db_for_write(LedgerEntry)):
            ledger.record(
                act=f"refused {act}"[:50],
                actor=actor.user,
                actor_name=actor.name,
                queue=queue,
                items=items,
                reason=reason.strip() or "no permission",
                request_id=actor.request_id,
                now=now,
            )
        raise
