"""The hands of a drain: threads that run the handler, one item after the other, each only when the last one's outcome
is durable.
"""

from __future__ import annotations

import queue as queues
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.db import connections

from queues.engine import origin, settle, spans
from queues.engine.item import QueueItem
from queues.engine.registry import Queue, Settled

type Given = tuple[QueueItem, Any]
"""An item and what its batch was prepared with."""


@dataclass(slots=True)
class Hand:
    """One thread, and the lock it waits at until the coordinator releases it: its last outcome is durable."""

    thread: threading.Thread | None = None
    durable: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.durable.acquire()


@dataclass(frozen=True, slots=True)
class Ended:
    """What a hand, or the limiter, has to say of an item."""

    item: QueueItem
    settlement: settle.Settlement | Settled | None
    """To be written; written by the handler itself; or None: it was not run at all."""
    hand: Hand | None = None


class Hands:
    """The threads of one drain. `may_begin(item id)` says whether its lease still holds."""

    def __init__(self, queue: Queue, *, clock: Callable[[], datetime], may_begin: Callable[[int], bool]) -> None:
        self.queue = queue
        self.clock = clock
        self.may_begin = may_begin
        self.hired: list[Hand] = []
        self._inbox: queues.SimpleQueue[Given | None] = queues.SimpleQueue()
        self._outcomes: queues.SimpleQueue[Ended] = queues.SimpleQueue()

    @property
    def hungry(self) -> bool:
        """Whether there will soon be nothing left to begin."""
        return self._inbox.qsize() <= len(self.hired) // 2

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to begin."""
        return self._inbox.empty()

    def give(self, items: Iterable[Given]) -> None:
        """Hand out items; threads are started as they are needed, up to the queue's number of hands."""
        for given in items:
            self._inbox.put(given)
        for _ in range(min(self._inbox.qsize(), self.queue.hands - len(self.hired))):
            hand = Hand()
            hand.thread = threading.Thread(target=self._work, args=(hand,), daemon=True, name=f"{self.queue.name}-hand")
            self.hired.append(hand)
            hand.thread.start()

    def take_back(self) -> list[Given]:
        """What no hand has begun."""
        found = []
        try:
            while (given := self._inbox.get_nowait()) is not None:
                found.append(given)
            self._inbox.put(None)  # the sign to go home is for a hand
        except queues.Empty:
            pass
        return found

    def say(self, item: QueueItem, settlement: settle.Settlement) -> None:
        """End an item that no hand has run."""
        self._outcomes.put(Ended(item, settlement))

    def ended(self, *, timeout: float, gather: float, most: int) -> list[Ended]:
        """What has ended: waits `timeout` seconds for the first, then `gather` for one of each other hand."""
        found: list[Ended] = []
        try:
            found.append(self._outcomes.get(timeout=timeout) if timeout > 0 else self._outcomes.get_nowait())
            until = time.monotonic() + gather
            while len(found) < (len(self.hired) + 1) // 2 and (left := until - time.monotonic()) > 0:
                found.append(self._outcomes.get(timeout=left))
            while len(found) < most:
                found.append(self._outcomes.get_nowait())
        except queues.Empty:
            pass
        return found

    def call_it_a_day(self) -> None:
        """No hand takes anything more."""
        for _ in self.hired:
            self._inbox.put(None)

    def go_home(self, *, until: float) -> None:
        """Let hands that wait for a durable outcome go, and wait for their threads until then (monotonic seconds)."""
        for hand in self.hired:
            if hand.durable.locked():
                hand.durable.release()
        for hand in self.hired:
            if hand.thread is not None:
                hand.thread.join(timeout=max(0.1, until - time.monotonic()))

    def _work(self, hand: Hand) -> None:
        try:
            while (given := self._inbox.get()) is not None:
                item, context = given
                # Not begun if this process stood still (a paused machine, an outage): another may have it by now.
                begun = self.may_begin(item.pk)
                self._outcomes.put(Ended(item, self._attempt(item, context) if begun else None, hand))
                hand.durable.acquire()
        finally:
            self.queue.close()
            connections.close_all()

    def _attempt(self, item: QueueItem, context: Any) -> settle.Settlement | Settled:
        came = origin.read(item.origin)
        about: dict[str, Any] = {"queue": self.queue.name, "item": item.pk, "attempt": item.attempts}
        known = {"request_id": came.request_id} if came.request_id else {}
        with (
            structlog.contextvars.bound_contextvars(feature=self.queue.name, **about, **known),
            spans.span("attempt", kind="consumer", link=came.traceparent, **about),
        ):
            return self._run(item, context)

    def _run(self, item: QueueItem, context: Any) -> settle.Settlement | Settled:
        started_at = self.clock()
        try:
            with spans.span(f"handle {self.queue.name}"):
                result: Any = self.queue.handler(item, context)
            if isinstance(result, Settled):
                return result
            return settle.decide(self.queue, item, result, started_at=started_at, now=self.clock())
        except BaseException as outcome:  # noqa: BLE001 - the one place: whatever a handler raises ends its attempt
            return settle.end(self.queue, item, outcome, started_at=started_at, now=self.clock())
