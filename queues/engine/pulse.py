"""The supervisor's talk with its cluster, through database and broker: asks for heartbeats, hears them, hints at work.

It runs in a thread of its own, because a database that is away can hold a call for minutes; the supervisor itself
only reads what was last heard. All durations are monotonic seconds: a clock that is set does not kill a cluster.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from socket import gethostname

from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone
from django_q.tasks import async_task

from queues.engine import broker, heartbeats, log, processes, recurring, registry, wake
from queues.engine.drain import next_due

logger = log.get(__name__)

ROUND_SECONDS = 1.0
OVERDUE = timedelta(seconds=60)
"""A schedule this late missed two of the scheduler's looks."""
MISSED_SECONDS = 1.0
"""A due item that waited this long was missed by its wake-up."""


@dataclass(slots=True)
class Heard:
    """What the last rounds brought; times are `time.monotonic()`."""

    at: float = float("-inf")
    """The last round that went well."""
    since: float = float("-inf")
    """The first of the rounds that went well without a gap."""
    beat: datetime | None = None
    beat_at: float = float("-inf")
    """When a new heartbeat was last seen."""
    standing_since: float | None = None
    """Since when a schedule is overdue without a pause."""


@dataclass(slots=True)
class Pulse:
    """One supervisor's talk. `running` is asked before a beat is sent: nobody would take it while no cluster runs."""

    beat_seconds: float = 5.0
    running: bool = False
    detail: dict[str, object] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)
    host: str = field(default_factory=gethostname)
    _asked_at: float = float("-inf")
    _hinted: dict[str, datetime] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        """Talk in a thread until `stop`."""
        threading.Thread(target=self._talk, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """End the thread; one that hangs in a call ends with the process."""
        self._ended.set()

    def restarted(self) -> None:
        """A cluster was started: ask for a beat at once, and look at every queue anew."""
        self._asked_at = float("-inf")
        self._hinted.clear()
        self.running = True

    def round(self) -> None:
        """One exchange; raises whatever database and broker raise."""
        clock, now = time.monotonic(), timezone.now()
        if clock - self._asked_at >= self.beat_seconds:
            heartbeats.beat(name=f"supervisor:{self.host}", now=now, **self.detail, **self._weighed())
            if self.running:
                self._ask()
            self._asked_at = clock
        self._listen(now=now)
        self._hint(now=now)

    def _talk(self) -> None:
        while not self._ended.wait(ROUND_SECONDS):
            try:
                self.round()
            except (OperationalError, InterfaceError) as error:
                logger.warning("supervisor.database_away", words=str(error).split("\n")[0])
                connections.close_all()
            except Exception:  # a broker of any make is away, or a mistake of ours: supervision goes on
                logger.exception("supervisor.round_failed")

    def _weighed(self) -> dict[str, object]:
        """What the cluster's processes do and how much memory they hold."""
        session = self.detail.get("cluster")
        if not self.running or not isinstance(session, int):
            return {}
        found = processes.of_session(session)
        return {"memory_mb": round(sum(each["memory_mb"] for each in found), 1), "processes": found}

    def _ask(self) -> None:
        """Send a beat through django-q2: broker, pusher, queue and a worker must all do their part to answer it."""
        queue = broker.own_queue()
        options = {"group": "beat", "save": False, **({"cluster": queue} if queue else {})}
        async_task("queues.tasks.beat", self.host, task_name=f"beat {self.host}", q_options=options)

    def _listen(self, *, now: datetime) -> None:
        beat = (
            heartbeats.Heartbeat.objects.filter(name=f"cluster:{self.host}").values_list("seen_at", flat=True).first()
        )
        stands = recurring.standing(now=now, overdue=OVERDUE)
        clock, last = time.monotonic(), self.heard
        fresh = (
            beat is not None and beat != last.beat and last.at > float("-inf")
        )  # what was there before tells nothing
        gap = clock - last.at > ROUND_SECONDS + 2 * self.beat_seconds
        self.heard = Heard(
            at=clock,
            since=clock if gap else last.since,
            beat=beat,
            beat_at=clock if fresh else last.beat_at,
            standing_since=(clock if last.standing_since is None or gap else last.standing_since) if stands else None,
        )

    def _hint(self, *, now: datetime) -> None:
        """Wake a drain for work that nobody has come for. What stays first all the same is held by something (a pause,
        an open breaker): that is left to the clock.
        """
        for queue in registry.all_queues():
            due_at = next_due(queue)
            late = due_at is not None and (now - due_at).total_seconds() > MISSED_SECONDS
            if due_at and late and self.running and self._hinted.get(queue.name) != due_at:
                self._hinted[queue.name] = due_at
                wake.soon(queue.name)
