"""The rules of the service levels: whether an objective's budget is spent too fast, read from the rollups alone.

A window ends where the minutes have settled: an outage makes an item bad once it is past its target, and the minute it
was due in is then that long ago.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db.models import Q, Sum

from queues.monitor import burn, objective
from queues.monitor.burn import Counts
from queues.monitor.models import Alert, Severity, SloHour, SloMinute
from queues.monitor.objective import Objective
from queues.monitor.rules import Finding, Rule

FINE = timedelta(hours=6)
"""Up to so long ago windows are cut to the minute, before that to the hour."""
PAGE_PATH = "/admin/monitor/levels/"


def counted(goal: Objective, *, end: datetime, lengths: Iterable[timedelta] = ()) -> Callable[[timedelta], Counts]:
    """The events of each window that ends there; two statements."""
    lengths = tuple(lengths) or burn.windows()
    border = objective.hour_of(end) - FINE
    since = {length: end - length for length in lengths}
    minutes = _sums(SloMinute, "minute", goal, {length: max(at, border) for length, at in since.items()}, end)
    hours = _sums(
        SloHour, "hour", goal, {length: objective.hour_of(at) for length, at in since.items() if at < border}, border
    )
    found = {
        length: Counts(
            minutes[length].good + (hours[length].good if length in hours else 0),
            minutes[length].bad + (hours[length].bad if length in hours else 0),
        )
        for length in lengths
    }
    return found.__getitem__


def settled(goal: Objective, *, now: datetime) -> datetime:
    """Up to when that objective's minutes have settled."""
    return objective.minute_of(now - goal.source.settles)


def _sums(
    model: type[SloMinute] | type[SloHour],
    column: str,
    goal: Objective,
    since: dict[timedelta, datetime],
    end: datetime,
) -> dict[timedelta, Counts]:
    if not since:
        return {}
    rows = model._default_manager.filter(
        **{"objective": goal.key, f"{column}__gte": min(since.values()), f"{column}__lt": end}
    )
    sums = {
        f"{kind}_{number}": Sum(kind, filter=Q(**{f"{column}__gte": at}))
        for number, at in enumerate(since.values())
        for kind in ("good", "bad")
    }
    found = rows.aggregate(**sums)
    return {
        length: Counts(found[f"good_{number}"] or 0, found[f"bad_{number}"] or 0) for number, length in enumerate(since)
    }


def _look(severity: Severity, now: datetime) -> Iterable[Finding]:
    for goal in objective.promised():
        assert goal.target is not None
        held = burn.judge(counted(goal, end=settled(goal, now=now)), target=goal.target)
        mine = held.get(severity.value)  # type: ignore[call-overload]  # the same words
        if mine is None:
            continue
        if severity == Severity.TICKET and "page" in held and not _open(BURNING_SLOWLY.name, goal.key):
            continue  # who was called need not be told by letter, too
        hours = mine.pair.long.total_seconds() / 3600
        yield Finding(
            scope=goal.key,
            words=(
                f"{goal.name}: {mine.bad:,} of {mine.eligible:,} were bad within {hours:g} h; the budget of 30 days is"
                f" spent {mine.rate_long:.1f} × as fast as it lasts (promise {goal.target:.1%})."
            ),
            values={
                "capability": goal.capability,
                "bad": mine.bad,
                "eligible": mine.eligible,
                "burn": round(mine.rate_long, 2),
                "burn_now": round(mine.rate_short, 2),
                "window": mine.pair.name,
            },
            path=f"{PAGE_PATH}{goal.key}/",
        )


def _open(rule: str, scope: str) -> bool:
    return Alert.objects.filter(rule=rule, scope=scope).exclude(state=Alert.State.RESOLVED).exists()


BURNING = Rule(
    name="budget_burning",
    title="Error budget burns",
    severity=Severity.PAGE,
    look=lambda now: _look(Severity.PAGE, now),
    path=PAGE_PATH,
    clears=timedelta(minutes=2),
    advice="Open the service level: its list shows the very items that failed. Look at the failure group they share,"
    " and at provider and workers; redrive the dead letters once the cause is gone.",
)
BURNING_SLOWLY = Rule(
    name="budget_burning_slowly",
    title="Error budget leaks",
    severity=Severity.TICKET,
    look=lambda now: _look(Severity.TICKET, now),
    path=PAGE_PATH,
    clears=timedelta(minutes=10),
    advice="Not urgent: at this pace the budget of the month does not last. Look at the failure groups that grew in the"
    " last days and take the largest.",
)
RULES = (BURNING, BURNING_SLOWLY)
