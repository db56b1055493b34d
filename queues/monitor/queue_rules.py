"""Rules that need no traffic, about queues: what waits too long, what died, what has not succeeded for far too long."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Max, Q, Sum

from queues.engine import pauses, registry
from queues.engine.breaker import THRESHOLD, Breaker
from queues.engine.registry import Queue
from queues.engine.states import WAITING, Priority, Status
from queues.monitor import objective
from queues.monitor.models import Severity, SloHour, SloMinute
from queues.monitor.rules import MINUTE, Finding, Rule

BEHIND = timedelta(minutes=5)
"""Five times the longest that a healthy queue lets anything due wait (the clock comes every minute)."""
DEAD_MOST = 10
GROWTH_WITHIN = timedelta(minutes=15)
GROWTH_FACTOR = 4
GROWTH_LEAST = 3
DAYS = 7
COUNT_MAX = 1000
USUAL_LEAST = 10
"""So many successes there were in the same hours of every one of the last seven days, and now there is none."""
SILENT_HOURS = 12
CAPABILITIES = {"email": "E-mail", "webhook": "Webhooks", "push": "Push notifications"}


def list_path(queue: Queue, query: str = "") -> str:
    """The desk's list of a queue's items."""
    opts = queue.model._meta
    return f"/admin/{opts.app_label}/{opts.model_name}/{query}"


def behind(now: datetime) -> Iterable[Finding]:
    """Something due waits for longer than `BEHIND`; what staff paused does not count, nor what has low priority."""
    for queue in registry.all_queues():
        name, paused = queue.name, pauses.paused_kinds(queue=queue.name, now=now)
        oldest = None if "" in paused else _oldest_due(queue, paused, now=now)
        if oldest is None or now - oldest <= BEHIND:
            continue
        seconds = int((now - oldest).total_seconds())
        yield Finding(
            scope=name,
            words=f"The oldest due item of queue {name} has waited since {oldest:%H:%M} UTC ({seconds // 60} min).",
            values={"seconds": seconds, "capability": CAPABILITIES.get(name, "")},
            path=list_path(queue, "?q=status%3Awaiting"),
        )


def dead(now: datetime) -> Iterable[Finding]:
    """More dead letters than somebody can overlook."""
    for queue in registry.all_queues():
        rows = queue.model._default_manager.filter(status=Status.DEAD_LETTER, hidden_at__isnull=True)
        count = rows.order_by()[: COUNT_MAX + 1].count()
        if count > DEAD_MOST:
            number = f"more than {COUNT_MAX:,}" if count > COUNT_MAX else f"{count:,}"
            yield Finding(
                scope=queue.name,
                words=f"Queue {queue.name} has {number} dead letters; {DEAD_MOST} are tolerated.",
                values={"dead": count},
                path=list_path(queue, "?status=dead_letter"),
            )


def dying(now: datetime) -> Iterable[Finding]:
    """New dead letters come faster than four times what the same hour usually brings."""
    for queue in registry.all_queues():
        rows = queue.model._default_manager.filter(status=Status.DEAD_LETTER, hidden_at__isnull=True).order_by()
        fresh = rows.filter(dead_at__gt=now - GROWTH_WITHIN, dead_at__lte=now)[: COUNT_MAX + 1].count()
        if fresh <= GROWTH_LEAST:
            continue
        share = GROWTH_WITHIN / timedelta(hours=1)
        hours = [
            rows.filter(dead_at__gte=begin, dead_at__lt=begin + timedelta(hours=1))[: COUNT_MAX + 1].count()
            for begin in (objective.hour_of(now) - timedelta(days=day) for day in range(1, DAYS + 1))
        ]
        usual = statistics.median(hours) * share
        if fresh > max(GROWTH_LEAST, GROWTH_FACTOR * usual):
            minutes = int(GROWTH_WITHIN.total_seconds() // 60)
            yield Finding(
                scope=queue.name,
                words=f"{fresh:,} dead letters in queue {queue.name} within {minutes} min; {usual:g} are usual now.",
                values={"fresh": fresh, "usual": usual, "capability": CAPABILITIES.get(queue.name, "")},
                path=list_path(queue, "?status=dead_letter"),
            )


def silent(now: datetime) -> Iterable[Finding]:
    """No success of an objective for so long that there is usually plenty of it, whatever the day of the week."""
    end = objective.hour_of(now)
    last = {
        row["objective"]: row["last"]
        for row in SloMinute.objects.filter(minute__gte=end - timedelta(hours=SILENT_HOURS), good__gt=0)
        .values("objective")
        .annotate(last=Max("minute"))
    }
    for goal in objective.promised():
        since = last.get(goal.key, end - timedelta(hours=SILENT_HOURS))
        begin = objective.hour_of(since) + timedelta(hours=1)
        if begin >= end or now - since < goal.source.settles + timedelta(minutes=30):
            continue
        usual = min(_successes(goal.key, begin - back, end - back) for back in _days())
        if usual >= USUAL_LEAST:
            yield Finding(
                scope=goal.key,
                words=(
                    f"{goal.name}: no success since {since:%H:%M} UTC; on each of the last {DAYS} days there were at"
                    f" least {usual:,} in these hours."
                ),
                values={"usual": usual, "capability": goal.capability},
                path=f"/admin/monitor/levels/{goal.key}/",
            )


def stopped(now: datetime) -> Iterable[Finding]:
    """Every attempt through a transport fails: its breaker is open, or waits for a probe to succeed."""
    for row in Breaker.objects.filter(failures__gte=THRESHOLD).order_by("name"):
        yield Finding(
            scope=row.name,
            words=f"{row.name} failed {row.failures:,} times in a row: {row.last_words[:200]}",
            values={"failures": row.failures, "capability": CAPABILITIES[_queue_of(row.name)]},
            path="/admin/queues/breaker/",
        )


def _queue_of(breaker: str) -> str:
    return "push" if breaker.startswith("push ") else "email"


def _oldest_due(queue: Queue, paused: list[str], *, now: datetime) -> datetime | None:
    rows = queue.model._default_manager.filter(status__in=WAITING, due_at__lte=now, hidden_at__isnull=True)
    rows = rows.exclude(kind__in=paused) if paused else rows
    # One probe of the claim's index for each priority.
    first = [
        rows.filter(priority=priority).order_by("due_at", "id").values_list("due_at", flat=True).first()
        for priority in Priority.values
        if priority <= Priority.NORMAL
    ]
    return min((at for at in first if at is not None), default=None)


def _successes(key: str, begin: datetime, end: datetime) -> int:
    rows = SloHour.objects.filter(Q(hour__gte=begin) & Q(hour__lt=end), objective=key)
    return int(rows.aggregate(sum=Sum("good"))["sum"] or 0)


def _days() -> Iterable[timedelta]:
    return (timedelta(days=day) for day in range(1, DAYS + 1))


RULES = (
    Rule(
        name="queue_behind",
        title="Due work waits too long",
        severity=Severity.PAGE,
        look=behind,
        holds=MINUTE,  # after a pause of the workers what waited is worked off within moments
        advice="Look at the workers' heartbeats, at the breaker of the transport, and at the limit of the queue: one of"
        " the three holds it. An item's page names the cause of its waiting.",
    ),
    Rule(
        name="dead_letters",
        title="Dead letters pile up",
        severity=Severity.TICKET,
        look=dead,
        advice="Open the failure groups: few causes explain most of them. Mend the cause, redrive the group (a canary"
        " first), and discard what is not worth sending any more.",
    ),
    Rule(
        name="dead_letters_growing",
        title="Dead letters grow fast",
        severity=Severity.PAGE,
        look=dying,
        clears=timedelta(minutes=5),
        advice="Something broke a few minutes ago. The newest failure group names it; pause the queue if each further"
        " attempt does harm, mend the cause, then redrive the group.",
    ),
    Rule(
        name="no_success",
        title="Nothing has succeeded for far too long",
        severity=Severity.PAGE,
        look=silent,
        advice="There is no failure either, so look at the beginning: does the product still hand work in? Is the"
        " webhook still registered with the provider? Do the workers run?",
    ),
    Rule(
        name="provider_stopped",
        title="A provider takes nothing",
        severity=Severity.PAGE,
        look=stopped,
        clears=timedelta(0),
        advice="Nothing is lost and no attempt is used up: the queue waits and probes once a minute. See what the"
        " provider says, its status page and our credentials; a second URL in EMAIL_DELIVERY_URL takes over.",
    ),
)
