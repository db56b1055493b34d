"""Settling for a drain: a group at a time, through a database that goes away, and past what cannot be written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, connections, router

from queues.engine import settle
from queues.engine.registry import Queue, Settled

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 25.0
"""How long outcomes are held while the database is away or locked; past it the leases have run out."""
AGAIN_SECONDS = 0.1


def write(queue: Queue, settlements: Sequence[settle.Settlement], *, clock: Callable[[], datetime]) -> Counter[str]:
    """Write a group and count its verdicts; `lost` are those whose lease was gone, or that outlived our patience.

    A database that is away is waited for with the same settlements, for an acknowledged effect must not become a retry.
    If one of a group cannot be written, each is written by itself, so that it harms only itself.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while settlements:
        try:
            held = settle.settle(queue, settlements)
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() > deadline:
                log.error(
                    "settle.gave_up", queue=queue.name, outcomes=len(settlements), words=str(error).split("\n")[0]
                )
                return Counter(lost=len(settlements))
            log.warning("settle.waits", queue=queue.name, words=str(error).split("\n")[0])
            connections[router.db_for_write(queue.model)].close_if_unusable_or_obsolete()
            time.sleep(AGAIN_SECONDS)
        except Exception as error:  # noqa: BLE001 - an effect, or a value that the table does not take
            return _singly(queue, settlements, error, clock)
        else:
            return Counter(each.verdict if each.item.pk in held else "lost" for each in settlements)
    return Counter()


def used(settlement: settle.Settlement | Settled | None) -> bool:
    """Whether the attempt used what the limiter granted it: the other side was asked."""
    if isinstance(settlement, settle.Settlement):
        return settlement.charged and settlement.verdict != "cancel"
    return settlement is not None


def _singly(
    queue: Queue, settlements: Sequence[settle.Settlement], error: Exception, clock: Callable[[], datetime]
) -> Counter[str]:
    if len(settlements) > 1:
        return sum((write(queue, [each], clock=clock) for each in settlements), Counter[str]())
    (settlement,) = settlements
    if settlement.verdict == "ack" and settlement.effect is None and settlement.fields:
        # Done is done: what the other side said of it is worth less than not doing it twice.
        log.error("settle.bare", queue=queue.name, item=settlement.item.pk, exc_info=error)
        return write(queue, [replace(settlement, fields={}, words="")], clock=clock)
    if settlement.code.startswith("bug "):
        log.error("settle.impossible", queue=queue.name, item=settlement.item.pk, exc_info=error)
        return Counter(lost=1)
    bug = settle.decide(queue, settlement.item, error, started_at=settlement.started_at, now=clock(), rules=False)
    return write(queue, [bug], clock=clock)
