"""Rules about the machinery: silent workers, missed schedules, measuring and alerting that stand still.

The first two are looked at by the supervisor, too, which lives when the workers do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django_q.models import Schedule

from queues.engine import recurring
from queues.engine.heartbeats import Heartbeat
from queues.monitor import outbox
from queues.monitor.models import ScheduleState, Severity, Watermark
from queues.monitor.rules import Finding, Rule

SILENT = timedelta(seconds=60)
"""The supervisor renews it every few seconds, and starts its workers anew when they are silent for 25 s."""
FORGOTTEN = timedelta(days=1)
"""A machine that is silent that long while others work was taken away."""
MISSED = timedelta(minutes=3)
"""The scheduler wakes every 30 s; tasks of minutes length may hold it up a little."""
MEASURED = timedelta(minutes=10)
CLUSTER, SUPERVISOR = "cluster:", "supervisor:"


def silent(now: datetime) -> Iterable[Finding]:
    """Machines whose workers were not heard of within the last minute; not those that others do without."""
    rows = Heartbeat.objects.filter(name__startswith=CLUSTER)
    beats = {row.name.removeprefix(CLUSTER): row.seen_at for row in rows}
    ended = {
        row.name.removeprefix(SUPERVISOR)
        for row in Heartbeat.objects.filter(name__startswith=SUPERVISOR)
        if row.detail.get("ended")
    }
    alive = [host for host, seen_at in beats.items() if now - seen_at <= SILENT]
    for host, seen_at in sorted(beats.items()):
        given_up = host in ended or now - seen_at > FORGOTTEN
        if now - seen_at > SILENT and not (given_up and alive):
            yield Finding(
                scope=host[:100],
                words=f"The workers on {host} were last heard of {int((now - seen_at).total_seconds())} s ago.",
                values={"seconds": int((now - seen_at).total_seconds()), "alive": len(alive)},
                path="/admin/queues/heartbeat/",
            )


def missed(now: datetime) -> Iterable[Finding]:
    """Recurring work that should have run minutes ago."""
    late = overdue(now)
    if late:
        name, since = late[0]
        more = f" and {len(late) - 1} more" if len(late) > 1 else ""
        minutes = int((now - since).total_seconds()) // 60
        yield Finding(
            words=f"“{name}”{more} should have run at {since:%H:%M} UTC, {minutes} min ago.",
            values={"late": [name for name, _ in late[:20]], "count": len(late)},
            path="/admin/monitor/workers/",
        )


def failing(now: datetime) -> Iterable[Finding]:
    """Recurring work whose last run ended in an error or was cut off."""
    for row in ScheduleState.objects.filter(succeeded=False).order_by("name"):
        words = " ".join(row.words.split())
        yield Finding(
            scope=row.name.removeprefix(recurring.PREFIX)[:100],
            words=f"“{row.name.removeprefix(recurring.PREFIX)}” failed at {row.stopped_at:%H:%M} UTC: {words[-200:]}",
            values={"failures": row.failures, "runs": row.runs},
            path="/admin/monitor/workers/",
        )


def overdue(now: datetime) -> list[tuple[str, datetime]]:
    """Our schedules that are late, the latest first: name and when it should have run."""
    rows = Schedule.objects.filter(name__startswith=recurring.PREFIX, next_run__lt=now - MISSED).exclude(repeats=0)
    found = rows.order_by("next_run", "name").values_list("name", "next_run")
    return [(name.removeprefix(recurring.PREFIX), at) for name, at in found]


def unmeasured(now: datetime) -> Iterable[Finding]:
    """Objectives whose minutes are not counted any more."""
    stands = Watermark.objects.filter(ran_at__lt=now - MEASURED).order_by("objective")
    failed = Watermark.objects.exclude(words="").order_by("objective")
    for row in {row.pk: row for row in (*stands, *failed)}.values():
        why = row.words or "it has not been counted lately"
        yield Finding(
            scope=row.objective,
            words=f"{row.objective} is known up to {row.until:%Y-%m-%d %H:%M} UTC only: {why[:200]}",
            path="/admin/monitor/levels/",
        )


def untold(now: datetime) -> Iterable[Finding]:
    """Channels whose newest message could not be sent, in the last day."""
    for channel, words in outbox.failing(since=now - timedelta(days=1)).items():
        yield Finding(
            scope=channel,
            words=f"Alerts cannot be delivered by {channel}: {words[:200]}",
            path="/admin/queues/alertdelivery/",
        )


RULES = (
    Rule(
        name="workers_silent",
        title="Workers are silent",
        severity=Severity.PAGE,
        look=silent,
        holds=timedelta(seconds=20),  # the first beat after a start of the whole
        without_workers=True,
        clears=timedelta(0),
        advice="Look at the machine: does `manage.py work` run? Its supervisor starts silent workers again by itself,"
        " so it is dead too, or cannot (memory, disk, a process that cannot be killed). What is due waits; nothing is"
        " lost.",
    ),
    Rule(
        name="schedule_missed",
        title="Recurring work does not run",
        severity=Severity.PAGE,
        look=missed,
        holds=timedelta(minutes=2),  # after a start of the whole the clock catches up
        without_workers=True,
        advice="If the workers are silent, begin there. Otherwise all of them are busy with long tasks, or the clock"
        " stands: `manage.py sync_schedules` and a restart of `manage.py work` put it right.",
    ),
    Rule(
        name="schedule_failing",
        title="Recurring work fails",
        severity=Severity.TICKET,
        look=failing,
        holds=timedelta(minutes=5),  # what comes every minute has run again by then
        advice="The words are the end of its error; the log has the traceback. What it should have done waits for its"
        " next run; run it from the schedule's page once the cause is gone.",
    ),
    Rule(
        name="measuring_stands",
        title="Service levels are not measured",
        severity=Severity.TICKET,
        look=unmeasured,
        holds=timedelta(minutes=2),
        advice="Alerts on error budgets are blind meanwhile; the rules without traffic are not. The log's line"
        " `rollup.failed` says why.",
    ),
    Rule(
        name="alerts_undelivered",
        title="Alerts do not get through",
        severity=Severity.TICKET,
        look=untold,
        advice="The list of deliveries shows what the other side said. Check ALERT_EMAILS, EMAIL_DELIVERY_URL and"
        " ALERT_WEBHOOK_URL with `manage.py alerts test`.",
    ),
)
