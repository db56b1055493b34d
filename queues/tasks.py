"""Gathers what django-q2 runs: each task carries names only and makes one domain call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from queues.desk import ledger, ledger_rule
from queues.desk.bulk import run
from queues.email import retention, tracking
from queues.engine import heartbeats, limiter, registry, residence, transitions
from queues.monitor import alert_retention, depth, evaluate, recovery, rollup, schedules

RESIDENT = timedelta(seconds=45)
"""How long a drain stays for items that fall due meanwhile; with its ending (42 s) below the time-out (90 s)."""
HEARTBEATS_KEPT = timedelta(days=7)
"""A machine that was silent that long is not missed any more."""


def drain(queue: str) -> Mapping[str, int]:
    """Drain one queue; at once over if another drain of it is resident on this machine."""
    return residence.drain(registry.get(queue), resident=RESIDENT)


def reclaim() -> dict[str, int]:
    """Take back lost leases and cancel what has expired, in every queue, also where no drain runs."""
    now = timezone.now()
    return {
        queue.name: transitions.reclaim(queue, now=now) + transitions.expire(queue, now=now)
        for queue in registry.all_queues()
    }


def clean_rate_counters() -> int:
    """Delete rate counters that hold nothing any more."""
    return limiter.clean(now=timezone.now())


def remove_old_mail() -> dict[str, int]:
    """Remove bodies, rows and files of mails that finished long ago."""
    return retention.remove_all(now=timezone.now())


def adopt_tracking() -> int:
    """Give tracking events that came before their mail was settled to it."""
    return tracking.adopt(now=timezone.now())


def beat(host: str) -> None:
    """Answer the supervisor of that machine: its cluster does work."""
    heartbeats.beat(name=f"cluster:{host}", now=timezone.now())


def carry_on_operations() -> int:
    """Carry on the operations of staff that run and nobody carries on."""
    return run.carry_on(stay=RESIDENT)


def measure() -> dict[str, int]:
    """Bring the counts of all objectives up to now; note how queues stand and which failures are over."""
    now = timezone.now()
    depth.sample(now=now)
    recovery.look(now=now)
    return rollup.run(now=now)


def clean_measures() -> int:
    """Delete minutes, hours and samples that are past their time."""
    now = timezone.now()
    return rollup.clean(now=now) + depth.clean(now=now) + alert_retention.clean(now=now)


def schedule_ran(task: Any) -> None:
    """Note how a run of a schedule went (`recurring.HOOK`)."""
    if task.group and task.started and task.stopped:
        said = {"started_at": task.started, "stopped_at": task.stopped, "succeeded": bool(task.success)}
        schedules.ran(name=task.group, words=str(task.result or ""), **said)


def note_ledger_head() -> int:
    """Write the ledger's length and last digest to the log, where nobody can take its end away."""
    return ledger.note_head()[0]


def evaluate_alerts() -> dict[str, int]:
    """Look at every alert rule, and tell."""
    done = evaluate.everything(now=timezone.now())
    return {"rules": done.rules, "written": done.written, "sent": done.sent}


def verify_ledger() -> str:
    """Walk the ledger's chain, and tell if it is not whole."""
    return ledger_rule.verify(now=timezone.now())


def forget_heartbeats() -> int:
    """Delete the heartbeats of machines and processes that are long gone."""
    return heartbeats.Heartbeat.objects.filter(seen_at__lt=timezone.now() - HEARTBEATS_KEPT).delete()[0]
