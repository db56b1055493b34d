"""The queues there are: each app registers its own in `AppConfig.ready`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from queues.engine.item import QueueItem
from queues.engine.policy import RetryPolicy

Handler = Callable[[QueueItem, Any], Any]
"""Runs one item in a worker thread. Returns (`ack`, with an optional `Done`) or raises an outcome."""


OnDead = Callable[[QueueItem, Any], "Callable[[], None] | None"]
"""Given an item and the outcome that makes it a dead letter, an effect to commit together with that, or None."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a handler may say besides "done": settled columns of its model, words for the history, effects.

    `effect` runs in the settling transaction, after the compare-and-set has held: all or nothing with the ack.
    """

    words: str = ""
    via: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    effect: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A handler's word that it wrote its own settlement, in the transaction of its effects (`settle.here`)."""

    verdict: str = "ack"


@dataclass(frozen=True, slots=True)
class Limit:
    """One allowance an item needs: the setting's name (`email.recipient`) and whose (`a@x.com`)."""

    name: str
    subject: str = ""

    @property
    def key(self) -> str:
        """The counter's key: `email.recipient:a@x.com`."""
        return f"{self.name}:{self.subject}" if self.subject else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """How one kind of work is done. Only `name`, `model`, `policy` and `handler` are needed."""

    name: str
    model: type[QueueItem]
    policy: RetryPolicy
    handler: Handler
    batch: int = 50
    """Items of one claim."""
    hands: int = 10
    """Threads (and with them connections to the other side) in one drain."""
    limits: Callable[[QueueItem], Iterable[Limit]] = lambda item: ()
    """What the item needs granted before it may run; all or none."""
    prepare: Callable[[Sequence[QueueItem], datetime], Any] = lambda items, now: None
    """Loads what a whole batch needs, in the drain's own thread; its result is passed to every handler."""
    gate: Callable[[datetime], datetime | None] = lambda now: None
    """Until when nothing can be attempted at all (every breaker open), or None."""
    close: Callable[[], None] = lambda: None
    """Called in each worker thread when the drain ends: closes its connection."""
    on_dead: OnDead = lambda item, outcome: None
    """An effect to commit together with the dead letter (a suppression, say)."""


_queues: dict[str, Queue] = {}


def register(queue: Queue) -> None:
    """Make the queue known. Raises ValueError for a second queue of the same name."""
    if _queues.setdefault(queue.name, queue).model is not queue.model:
        raise ValueError(f"two queues are named {queue.name!r}")
    _queues[queue.name] = queue


def get(name: str) -> Queue:
    """The queue of that name. Raises LookupError with the names there are."""
    try:
        return _queues[name]
    except KeyError:
        raise LookupError(f"no queue is named {name!r}; there are: {', '.join(sorted(_queues)) or 'none'}") from None


def for_model(model: type[QueueItem]) -> Queue:
    """The queue whose items are rows of `model`. Raises LookupError if there is none."""
    for queue in _queues.values():
        if queue.model is model:
            return queue
    raise LookupError(f"no queue has the items of {model.__name__}")


def all_queues() -> list[Queue]:
    """Every queue, by name."""
    return [_queues[name] for name in sorted(_queues)]
