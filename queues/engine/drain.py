"""The drain: claims batch after batch, runs each item's handler in a few threads, settles in groups, until nothing is due.

    coordinator (this thread; all its SQL)          hands (threads; the handlers)
    claim ▶ grant ▶ prepare ─────── inbox ────────▶ run handler
    settle the group in one transaction ◀── outcomes ─┘ and wait until the outcome is durable

A hand takes its next item only when the last one's outcome is committed, so a crash repeats at most one item a hand.
"""

from __future__ import annotations

import os
import queue as queues
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import connections, router
from django.utils import timezone

from queues.engine import claim, limiter, pauses, settle, transitions
from queues.engine.item import QueueItem
from queues.engine.outcomes import Snooze
from queues.engine.registry import Queue
from queues.engine.states import WAITING, Priority

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
"""How often an idle resident drain looks for work that no wake-up announced."""
LINGER_SECONDS = 4.0
"""An idle drain stays this long, longer than wake-ups are coalesced: so work enqueued meanwhile is seen."""
GATHER_SECONDS = 0.002
"""How long a group waits for the other hands, so that one commit serves more of them."""
RENEW_SECONDS = 8.0
SWEEP_SECONDS = 5.0
"""How often lost leases are taken back and expired items cancelled while draining."""
ENDING_SECONDS = 32.0
"""How long the end of a drain waits for handlers still at work; every network call's time-out is shorter."""
RECONNECT_SECONDS = 25.0
"""How long outcomes are held while the database is away; past it the leases have run out."""


@dataclass(slots=True)
class _Hand:
    """One thread, and the lock it waits at until the coordinator releases it: its last outcome is durable."""

    thread: threading.Thread | None = None
    durable: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.durable.acquire()


class Drain:
    """One run over one queue. `run` returns how often each verdict was settled."""

    def __init__(
        self,
        queue: Queue,
        *,
        clock: Callable[[], datetime] = timezone.now,
        stopping: Callable[[], bool] = lambda: False,
        worker: str = "",
    ) -> None:
        self.queue = queue
        self.clock = clock
        self.stopping = stopping
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident() % 100000}"
        self.counts: Counter[str] = Counter()
        self.inbox: queues.SimpleQueue[tuple[QueueItem, Any] | None] = queues.SimpleQueue()
        self.outcomes: queues.SimpleQueue[tuple[_Hand | None, settle.Settlement]] = queues.SimpleQueue()
        self.in_flight: dict[int, QueueItem] = {}
        self.hands: list[_Hand] = []
        self.size = queue.batch
        self.blocked_until: datetime | None = None
        self.swept = self.renewed = 0.0

    def run(self, *, resident: timedelta | None = None) -> Counter[str]:
        """Drain until nothing is due. `resident`: stay that long for items that fall due within it."""
        started = time.monotonic()
        budget = resident.total_seconds() if resident else 0.0
        busy_at = started
        try:
            while True:
                spent = time.monotonic() - started
                if self.stopping() or (resident and spent > budget):
                    break
                self._keep()
                claimed = self._claim() if self.inbox.qsize() <= len(self.hands) // 2 else 0
                if claimed or self.in_flight:
                    busy_at = time.monotonic()
                    self._settle(timeout=0.0 if claimed and len(self.in_flight) < self.queue.batch else POLL_SECONDS / 10)
                    continue
                wait = self._idle(lingering=bool(resident) and time.monotonic() - busy_at < LINGER_SECONDS, left=budget - spent)
                if wait is None:
                    break
                self._settle(timeout=wait)
        finally:
            self._end()
        return self.counts

    def _claim(self) -> int:
        """Claim a batch, ask the limiter for it, and hand out what may run; returns how many items were claimed."""
        now = self.clock()
        if self.blocked_until and now < self.blocked_until:
            return 0
        self.blocked_until = self.queue.gate(now)
        paused = pauses.paused_kinds(queue=self.queue.name, now=now)
        if self.blocked_until or "" in paused:
            return 0
        items = claim.claim(self.queue.model, limit=self.size, worker=self.worker, now=now, without_kinds=paused)
        if not items:
            return 0
        self.in_flight |= {item.pk: item for item in items}
        granted = self._granted(items, now)
        context = self.queue.prepare(granted, now) if granted else None
        for item in granted:
            self.inbox.put((item, context))
        self._hire(len(granted))
        return len(items)

    def _granted(self, items: list[QueueItem], now: datetime) -> list[QueueItem]:
        """The items whose limits granted them; the others are snoozed to the time of their grant."""
        limits = [tuple(self.queue.limits(item)) for item in items]
        if not any(limits):
            return items
        wants = [
            limiter.Want(wanted, ahead=item.waits_for.startswith("rate:") or item.priority <= Priority.HIGH)
            for item, wanted in zip(items, limits, strict=True)
        ]
        granted = []
        for item, wanted, grant in zip(items, limits, limiter.grant(wants), strict=True):
            if grant.granted:
                granted.append(item)
                continue
            until = grant.until or now + timedelta(minutes=1)
            outcome = Snooze(f"The limit {grant.limit} is used up.", until=until, code=f"rate:{grant.limit}")
            self.outcomes.put((None, settle.decide(self.queue, item, outcome, started_at=now, now=now)))
            if any(limit.name == grant.limit and not limit.subject for limit in wanted):
                # The whole queue's allowance is used up: nothing else can run before that time either.
                self.blocked_until = until if self.blocked_until is None else min(self.blocked_until, until)
        self.size = max(1, len(granted)) if self.blocked_until else min(self.queue.batch, max(self.size * 2, 1))
        return granted

    def _hire(self, wanted: int) -> None:
        """Start threads as they are needed, up to the queue's number of hands."""
        for _ in range(min(wanted, self.queue.hands - len(self.hands))):
            hand = _Hand()
            hand.thread = threading.Thread(target=self._work, args=(hand,), daemon=True, name=f"{self.queue.name}-hand")
            self.hands.append(hand)
            hand.thread.start()

    def _work(self, hand: _Hand) -> None:
        """A hand's life: run an item, give its outcome to the coordinator, wait until it is durable."""
        try:
            while (given := self.inbox.get()) is not None:
                item, context = given
                started_at = self.clock()
                with structlog.contextvars.bound_contextvars(queue=self.queue.name, item=item.pk, attempt=item.attempts):
                    try:
                        result: Any = self.queue.handler(item, context)
                    except Exception as outcome:  # the one place: whatever a handler raises ends its attempt
                        result = outcome
                    decided = settle.decide(self.queue, item, result, started_at=started_at, now=self.clock())
                self.outcomes.put((hand, decided))
                hand.durable.acquire()
        finally:
            self.queue.close()
            connections.close_all()

    def _settle(self, *, timeout: float) -> None:
        """Settle what has ended, all in one transaction; waits up to `timeout` seconds for the first."""
        ended: list[tuple[_Hand | None, settle.Settlement]] = []
        try:
            ended.append(self.outcomes.get(timeout=timeout) if timeout > 0 else self.outcomes.get_nowait())
            gathered = time.monotonic() + GATHER_SECONDS
            while len(ended) < len(self.hands) and (left := gathered - time.monotonic()) > 0:
                ended.append(self.outcomes.get(timeout=left))
            while len(ended) < self.queue.batch:
                ended.append(self.outcomes.get_nowait())
        except queues.Empty:
            pass
        if not ended:
            return
        self._write([settlement for _, settlement in ended])
        for hand, settlement in ended:
            self.in_flight.pop(settlement.item.pk, None)
            if hand is not None:
                if not settlement.charged or settlement.verdict == "cancel":
                    self._give_back(settlement.item)
                hand.durable.release()

    def _give_back(self, item: QueueItem) -> None:
        """The item was granted its limits and used nothing of the other side."""
        if limits := tuple(self.queue.limits(item)):
            limiter.give_back(limits)

    def _write(self, settlements: list[settle.Settlement]) -> None:
        """Write a group; if one of it cannot be written, write them singly, so that it harms only itself."""
        deadline = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                held = settle.settle(self.queue, settlements)
            except DatabaseError as error:
                connections[router.db_for_write(self.queue.model)].close_if_unusable_or_obsolete()
                if self._reachable():
                    return self._write_singly(settlements, error)
                if time.monotonic() > deadline:
                    log.error("drain.database_away", queue=self.queue.name, outcomes_lost=len(settlements))
                    return None
                log.warning("drain.database_away", queue=self.queue.name, words=str(error).split("\n")[0])
                time.sleep(0.25)
            except Exception as error:  # an effect of one of them
                return self._write_singly(settlements, error)
            else:
                for settlement in settlements:
                    self.counts[settlement.verdict if settlement.item.pk in held else "lost"] += 1
                return None

    def _write_singly(self, settlements: list[settle.Settlement], error: Exception) -> None:
        if len(settlements) > 1:
            for settlement in settlements:
                self._write([settlement])
            return
        (settlement,) = settlements
        if settlement.code.startswith("bug "):
            log.error("settle.impossible", queue=self.queue.name, item=settlement.item.pk, exc_info=error)
            self.counts["lost"] += 1
            return
        self._write(
            [settle.decide(self.queue, settlement.item, error, started_at=settlement.started_at, now=self.clock())]
        )

    def _reachable(self) -> bool:
        connection = connections[router.db_for_write(self.queue.model)]
        try:
            connection.ensure_connection()
            return connection.is_usable()
        except DatabaseError:
            return False

    def _keep(self) -> None:
        """Renew the leases of what runs; take back lost leases and cancel what has expired."""
        clock = time.monotonic()
        if self.in_flight and clock - self.renewed > RENEW_SECONDS:
            self.renewed = clock
            claim.renew(self.queue.model, ids=list(self.in_flight), worker=self.worker, now=self.clock())
        if clock - self.swept > SWEEP_SECONDS:
            self.swept = clock
            now = self.clock()
            self.counts["reclaimed"] += transitions.reclaim(self.queue, now=now)
            self.counts["expired"] += transitions.expire(self.queue, now=now)

    def _idle(self, *, lingering: bool, left: float) -> float | None:
        """Seconds to wait for work, or None: nothing more will come in the time that is left."""
        now = self.clock()
        if left <= 0:
            return None
        due_at = next_due(self.queue)
        soonest = max(filter(None, (due_at, self.blocked_until)), default=None) if due_at else None
        wait = None if soonest is None else (soonest - now).total_seconds()
        if wait is not None and wait < left:
            return min(max(wait, 0.01), POLL_SECONDS)
        return POLL_SECONDS if lingering else None

    def _end(self) -> None:
        """Give back what was not begun, wait for what was, and let the hands go home."""
        unbegun: list[QueueItem] = []
        try:
            while given := self.inbox.get_nowait():
                unbegun.append(given[0])
        except queues.Empty:
            pass
        if unbegun:
            transitions.release(self.queue.model, items=unbegun, now=self.clock())
            for item in unbegun:
                self.in_flight.pop(item.pk, None)
        for _ in self.hands:
            self.inbox.put(None)
        ending = time.monotonic() + ENDING_SECONDS
        while self.in_flight and time.monotonic() < ending:
            self._keep()
            self._settle(timeout=POLL_SECONDS)
        for hand in self.hands:
            if hand.thread is not None:
                hand.thread.join(timeout=max(0.1, ending - time.monotonic()))
        self.counts = Counter({verdict: count for verdict, count in self.counts.items() if count})


def next_due(queue: Queue) -> datetime | None:
    """When the next waiting item falls due: one index probe a priority."""
    firsts = []
    for level in Priority.values:
        waiting = queue.model._default_manager.filter(status__in=WAITING, priority=level)
        firsts.append(waiting.order_by("due_at").values_list("due_at")[:1])
    return min((row[0] for row in firsts[0].union(*firsts[1:], all=True)), default=None)
