"""The drain: claims batch after batch, runs the handler in a few threads, settles in groups, until nothing is due.

    coordinator (this thread; all its SQL)          hands (threads; the handlers)
    claim ▶ grant ▶ prepare ─────── inbox ────────▶ run handler
    settle the group in one transaction ◀── outcomes ─┘ and wait until the outcome is durable

A hand takes its next item only when the last one's outcome is committed, so a crash repeats at most one item a hand.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError, connections, router
from django.utils import timezone

from queues.engine import claim, limiter, pauses, settle, settling, statements, transitions
from queues.engine.hands import Hands
from queues.engine.item import QueueItem
from queues.engine.outcomes import Snooze, Transient
from queues.engine.registry import Limit, Queue, Settled
from queues.engine.states import Priority

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
"""How often an idle resident drain looks for work that no wake-up announced."""
LINGER_SECONDS = 4.0
"""An idle drain stays this long, longer than wake-ups are coalesced: so work enqueued meanwhile is seen."""
GATHER_SECONDS = 0.002
"""How long a group waits for the other hands, so that one commit serves more of them."""
SWEEP_SECONDS = 5.0
"""How often lost leases are taken back and expired items cancelled while draining."""
ENDING_SECONDS = 42.0
"""How long the end of a drain waits for handlers still at work; every network call's time-out is shorter."""
RECONNECT_SECONDS = 25.0
"""How long a drain goes on trying while the database is away; past it the leases have run out."""
RECONNECT_EVERY_SECONDS = 0.25
KEEP_SECONDS = 1.0
RENEW_BEFORE_SECONDS = 18.0
"""A lease is renewed when less than this is left of it."""
LEASE_MARGIN_SECONDS = 2.0
"""Nothing is begun in the last moments of a lease."""


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
        self.hands = Hands(queue, clock=clock, may_begin=self._may_begin)
        self.in_flight: dict[int, QueueItem] = {}
        self.held_until: dict[int, float] = {}
        self.granted_at: dict[int, datetime | None] = {}
        self.refunds: dict[datetime, list[Limit]] = {}
        self.returning: list[QueueItem] = []
        self.size = queue.batch
        self.blocked_until: datetime | None = None
        self.kept = self.swept = self.look_again_at = 0.0
        self.paused: list[str] = []
        self.paused_at = -math.inf

    def run(self, *, resident: timedelta | None = None) -> Counter[str]:
        """Drain until nothing is due. `resident`: stay that long for items that fall due within it."""
        started = busy_at = reached = time.monotonic()
        budget = resident.total_seconds() if resident else 0.0
        try:
            while not self.stopping():
                spent = time.monotonic() - started
                if resident and spent > budget:
                    break
                try:
                    busy = self._step()
                    reached = time.monotonic()
                    if busy:
                        busy_at = reached
                        continue
                    lingering = resident is not None and reached - busy_at < LINGER_SECONDS
                    wait = self._idle(lingering=lingering, left=budget - spent)
                    if wait is None:
                        break
                    self._settle(timeout=wait)
                except (OperationalError, InterfaceError) as error:
                    if time.monotonic() - reached > RECONNECT_SECONDS:
                        raise
                    self._reconnect(error)
        finally:
            self._end()
        return self.counts

    def _step(self) -> bool:
        """Keep the leases, claim if the hands need more, settle what has ended; returns whether there is work."""
        self._return()
        self._keep()
        claimed = 0
        if self.hands.hungry and (not self.in_flight or time.monotonic() >= self.look_again_at):
            claimed = self._claim()
            if not claimed:
                self.look_again_at = time.monotonic() + POLL_SECONDS / 2
        if not claimed and not self.in_flight:
            return False
        self._settle(timeout=0.0 if claimed and len(self.in_flight) < self.queue.batch else POLL_SECONDS / 10)
        return True

    def _claim(self) -> int:
        """Claim a batch, ask the limiter for it, and hand out what may run; returns how many items were claimed."""
        now = self.clock()
        if self.blocked_until and now < self.blocked_until:
            return 0
        self.blocked_until = self.queue.gate(now)
        paused = self._paused(now)
        if self.blocked_until or "" in paused:
            return 0
        items = claim.claim(self.queue.model, limit=self.size, worker=self.worker, now=now, without_kinds=paused)
        if not items:
            return 0
        self._hold(items)
        try:
            granted = self._granted(items, now)
            context = self.queue.prepare(granted, now) if granted else None
        except (OperationalError, InterfaceError):
            self._release([item for item in items if item.pk in self.in_flight])
            raise
        except Exception as bug:  # the queue's own code, before any item ran: nobody is charged
            log.error("prepare.bug", queue=self.queue.name, exc_info=bug)
            outcome = Transient(repr(bug), code=f"bug {type(bug).__name__}", charged=False)
            for item in items:
                self._say(item, outcome, now=now)
            return len(items)
        self.hands.give((item, context) for item in granted)
        return len(items)

    def _paused(self, now: datetime) -> list[str]:
        """The paused types, as they were at most a moment ago."""
        if time.monotonic() - self.paused_at > POLL_SECONDS:
            self.paused_at = time.monotonic()
            self.paused = pauses.paused_kinds(queue=self.queue.name, now=now)
        return self.paused

    def _granted(self, items: list[QueueItem], now: datetime) -> list[QueueItem]:
        """The items whose limits granted them. The others are snoozed to the time of their own grant, or given back
        in their old order when the whole queue's allowance is used up.
        """
        wants: list[tuple[QueueItem, limiter.Want]] = []
        for item in items:
            try:
                limits = tuple(self.queue.limits(item))
            except Exception as bug:  # noqa: BLE001 - a malformed item harms only itself
                self._say(item, bug, now=now)
                continue
            promised = item.waits_for.startswith("rate:")
            wants.append(
                (item, limiter.Want(limits, ahead=promised or item.priority <= Priority.HIGH, promised=promised))
            )
        granted, given_back = [], []
        for (item, want), grant in zip(wants, limiter.grant([want for _, want in wants]), strict=True):
            until = grant.until or now + timedelta(minutes=1)
            if grant.granted:
                granted.append(item)
                self.granted_at[item.pk] = grant.at
            elif any(limit.name == grant.limit and not limit.subject for limit in want.limits):
                given_back.append(item)
                self.blocked_until = until if self.blocked_until is None else min(self.blocked_until, until)
            else:
                words = f"The limit {grant.limit} is used up."
                self._say(item, Snooze(words, until=until, code=f"rate:{grant.limit}"), now=now)
        self._release(given_back)
        # Near the limit ask for few, so that few are claimed in vain; away from it for whole batches again.
        self.size = max(1, len(granted)) if given_back else min(self.queue.batch, self.size * 2)
        return granted

    def _say(self, item: QueueItem, outcome: BaseException, *, now: datetime) -> None:
        """Settle an item that no hand has run."""
        self.hands.say(item, settle.end(self.queue, item, outcome, started_at=now, now=now))

    def _hold(self, items: Iterable[QueueItem]) -> None:
        until = _awake_or_not() + claim.LEASE.total_seconds() - LEASE_MARGIN_SECONDS
        for item in items:
            self.in_flight[item.pk] = item
            self.held_until[item.pk] = until

    def _may_begin(self, item_id: int) -> bool:
        return _awake_or_not() < self.held_until.get(item_id, 0.0)

    def _drop(self, item: QueueItem) -> None:
        for kept in (self.in_flight, self.held_until, self.granted_at):
            kept.pop(item.pk, None)

    def _release(self, items: list[QueueItem]) -> None:
        """Give back what was not begun, as if it had not been claimed."""
        self._refund(items)
        self.returning.extend(items)
        for item in items:
            self._drop(item)

    def _settle(self, *, timeout: float) -> None:
        """Settle what has ended, all in one transaction; waits up to `timeout` seconds for the first."""
        ended = self.hands.ended(timeout=timeout, gather=GATHER_SECONDS, most=self.queue.batch)
        if not ended:
            return
        settlements = [each.settlement for each in ended if isinstance(each.settlement, settle.Settlement)]
        self.counts += settling.write(self.queue, settlements, clock=self.clock)
        self.counts += Counter(each.settlement.verdict for each in ended if isinstance(each.settlement, Settled))
        self._refund(each.item for each in ended if not settling.used(each.settlement))
        for each in ended:
            self._drop(each.item)
            if each.hand is not None:
                each.hand.durable.release()

    def _refund(self, items: Iterable[QueueItem]) -> None:
        """Note the grants of items that used nothing of the other side, for `_return`."""
        for item in items:
            if (granted_at := self.granted_at.get(item.pk)) is not None:
                self.refunds.setdefault(granted_at, []).extend(self.queue.limits(item))

    def _return(self) -> None:
        """Give back unused grants and unbegun items; what a lost connection prevents is done at the next step."""
        while self.refunds:
            granted_at, limits = next(iter(self.refunds.items()))
            limiter.give_back(limits, granted_at=granted_at)
            del self.refunds[granted_at]
        if self.returning:
            transitions.release(self.queue.model, items=self.returning, now=self.clock())
            self.returning = []

    def _keep(self) -> None:
        """Renew the leases of what runs, take back lost ones, cancel what has expired, obey a pause."""
        clock = time.monotonic()
        if clock - self.kept < KEEP_SECONDS:
            return
        self.kept = clock
        sweep = clock - self.swept > SWEEP_SECONDS
        lease_clock = _awake_or_not()
        due = [pk for pk, until in self.held_until.items() if until - lease_clock < RENEW_BEFORE_SECONDS]
        if due or (sweep and self.in_flight):
            self._renew()
        self._obey_pauses()
        if sweep:
            self.swept = clock
            statements.plan_anew(connections[router.db_for_write(self.queue.model)])
            now = self.clock()
            self.counts["reclaimed"] += transitions.reclaim(self.queue, now=now)
            self.counts["expired"] += transitions.expire(self.queue, now=now)

    def _renew(self) -> None:
        items = list(self.in_flight.values())
        held = claim.renew(self.queue.model, items=items, now=self.clock())
        until = _awake_or_not() + claim.LEASE.total_seconds() - LEASE_MARGIN_SECONDS
        for item in items:
            if item.pk in self.in_flight:
                self.held_until[item.pk] = until if item.pk in held else 0.0

    def _obey_pauses(self) -> None:
        """A pause holds for what is claimed but not begun, too."""
        if self.hands.idle:
            return
        # Asked first: were the database away in between, what is taken back would be in nobody's hand.
        self.paused_at = -math.inf
        paused = self._paused(self.clock())
        unbegun = self.hands.take_back() if paused else []
        self._release([item for item, _ in unbegun if "" in paused or item.kind in paused])
        self.hands.give(given for given in unbegun if given[0].pk in self.in_flight)

    def _idle(self, *, lingering: bool, left: float) -> float | None:
        """Seconds to wait for work, or None: nothing more will come in the time that is left."""
        if left <= 0:
            return None
        due_at = next_due(self.queue)
        if due_at is not None:
            soonest = max(due_at, self.blocked_until) if self.blocked_until else due_at
            wait = (soonest - self.clock()).total_seconds()
            if wait < left:
                # Due and yet not claimed: paused, or its lane is busy. Look again, but not at once.
                return min(max(wait, 0.01), POLL_SECONDS) if wait > 0 else POLL_SECONDS
        return POLL_SECONDS if lingering else None

    def _reconnect(self, error: Exception) -> None:
        log.warning("drain.database_away", queue=self.queue.name, words=str(error).split("\n")[0])
        connections[router.db_for_write(self.queue.model)].close_if_unusable_or_obsolete()
        time.sleep(RECONNECT_EVERY_SECONDS)

    def _end(self) -> None:
        """Give back what was not begun, wait for what was, and let the hands go home, whatever else goes wrong."""
        unbegun = [item for item, _ in self.hands.take_back()]
        self.hands.call_it_a_day()
        ending = time.monotonic() + ENDING_SECONDS
        try:
            self._release(unbegun)
            while (self.in_flight or self.returning or self.refunds) and time.monotonic() < ending:
                self._return()
                self._keep()
                self._settle(timeout=POLL_SECONDS / 10)
        except (OperationalError, InterfaceError) as error:
            log.error(
                "drain.ended_without_database", queue=self.queue.name, items=len(self.in_flight), words=str(error)
            )
        finally:
            self.hands.go_home(until=ending)
            self.counts = Counter({verdict: count for verdict, count in self.counts.items() if count})


def _awake_or_not() -> float:
    """Seconds of a clock that goes on while the machine is suspended, where there is one: the leases do, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def next_due(queue: Queue) -> datetime | None:
    """When the next waiting item falls due: one index probe a priority."""
    # By hand: SQLite takes a partial index only for literals, and the ORM no LIMIT inside a UNION there.
    table = connections[router.db_for_write(queue.model)].ops.quote_name(queue.model._meta.db_table)
    probes = [
        f"SELECT * FROM (SELECT id, due_at FROM {table} WHERE status IN ('pending', 'retrying') AND priority = {level}"
        f" ORDER BY due_at LIMIT 1) p{level}"
        for level in Priority.values
    ]
    return min((first.due_at for first in queue.model._default_manager.raw(" UNION ALL ".join(probes))), default=None)
