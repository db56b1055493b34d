"""Failure groups at the desk: how many items each has, how it went over the last day, and what staff say of it.

acknowledge, resolve, ignore, reopen    each with a reason, which stays with the group as its note
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models, router, transaction
from django.db.models import Case, Count, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import TruncHour
from django.utils.safestring import SafeString

from queues.desk import bounded, charts, filters, ledger
from queues.desk.operations import Actor, ReasonMissing
from queues.engine import registry
from queues.engine.failure_groups import FailureGroup
from queues.engine.states import Status

HOURS = 24
LIVE = (FailureGroup.State.OPEN, FailureGroup.State.ACKNOWLEDGED)
"""What somebody still has to look after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One thing that staff can say of a group."""

    name: str
    done: str
    state: FailureGroup.State
    effect: str
    since: tuple[str, ...]
    """The states in which it can be said."""


VERDICTS = {
    verdict.name: verdict
    for verdict in (
        Verdict(
            name="acknowledge",
            done="acknowledged",
            state=FailureGroup.State.ACKNOWLEDGED,
            effect="You look after it: it becomes yours. Its items stay as they are.",
            since=(FailureGroup.State.OPEN, FailureGroup.State.IGNORED),
        ),
        Verdict(
            name="resolve",
            done="resolved",
            state=FailureGroup.State.RESOLVED,
            effect="The cause is removed. If it is seen once more, the group opens again and says so.",
            since=(*LIVE, FailureGroup.State.IGNORED),
        ),
        Verdict(
            name="ignore",
            done="ignored",
            state=FailureGroup.State.IGNORED,
            effect="It is left out of the open groups until the time is over and it is seen again.",
            since=LIVE,
        ),
        Verdict(
            name="reopen",
            done="opened again",
            state=FailureGroup.State.OPEN,
            effect="It stands among the open groups again.",
            since=(FailureGroup.State.ACKNOWLEDGED, FailureGroup.State.RESOLVED, FailureGroup.State.IGNORED),
        ),
    )
}


def counted(groups: QuerySet[FailureGroup]) -> QuerySet[FailureGroup]:
    """With `dead` and `retrying`: how many items each has now, by the items' index, `bounded.CAP` + 1 at most."""
    return groups.annotate(dead=_count(Status.DEAD_LETTER), retrying=_count(Status.RETRYING))


def _count(status: Status) -> Case:
    return Case(
        *(
            When(
                queue=queue.name,
                then=bounded.Capped(
                    queue.model._default_manager.filter(
                        filters.failing(OuterRef("fingerprint")), status=status, hidden_at__isnull=True
                    )
                    .order_by()
                    .values("pk")[: bounded.CAP + 1]
                ),
            )
            for queue in registry.all_queues()
        ),
        default=Value(0),
        output_field=models.IntegerField(),
    )


def capped(number: int) -> bounded.Count:
    """A number of `counted` as it is shown."""
    return bounded.Count(min(number, bounded.CAP), capped=number > bounded.CAP)


def trends(groups: Iterable[FailureGroup], *, now: datetime) -> dict[int, list[int]]:
    """Group id → its dead letters of each of the last `HOURS` hours, oldest first. Without what took too long."""
    first = _hour(now) - timedelta(hours=HOURS - 1)
    by_queue: dict[str, dict[str, int]] = defaultdict(dict)
    for group in groups:
        by_queue[group.queue][group.fingerprint] = group.pk
    tables = [_hours(queue, ids, first) for queue, ids in by_queue.items()]
    if not tables:
        return {}
    try:
        with bounded.budget(tables[0].db, milliseconds=300):
            numbers = list(tables[0].union(*tables[1:], all=True) if tables[1:] else tables[0])
    except bounded.TookTooLong:
        return {}
    found = {pk: [0] * HOURS for ids in by_queue.values() for pk in ids.values()}
    for queue, fingerprint, hour, number in numbers:
        if 0 <= (place := (hour - first) // timedelta(hours=1)) < HOURS:
            found[by_queue[queue][fingerprint]][place] = number
    return found


def _hours(queue: str, fingerprints: Iterable[str], first: datetime) -> QuerySet[Any, tuple[Any, ...]]:
    """Dead letters of these causes since `first`, by the hour: bounded by the causes, the hours and the budget."""
    rows = registry.get(queue).model._default_manager.filter(
        ~Q(fingerprint=""),
        status=Status.DEAD_LETTER,
        fingerprint__in=list(fingerprints),
        dead_at__gte=first,
    )
    hours = (
        rows.order_by().annotate(of=Value(queue), hour=TruncHour("dead_at")).values_list("of", "fingerprint", "hour")
    )
    return hours.annotate(number=Count("pk"))


def chart(numbers: Sequence[int]) -> SafeString:
    """A group's trend as bars."""
    return charts.bars(
        numbers, words=f"{sum(numbers):,} dead letters in the last {HOURS} hours, {numbers[-1]:,} in this one"
    )


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def say(
    *, group_id: int, verdict: str, actor: Actor, reason: str, now: datetime, until: datetime | None = None
) -> bool:
    """Say it of a group, with the ledger entry in the same transaction. False if it is not in a state for it.

    Raises LookupError for an unknown verdict, PermissionDenied, ReasonMissing.
    """
    said = VERDICTS.get(verdict)
    if said is None:
        raise LookupError(f"there is no verdict {verdict!r}; there are: {', '.join(VERDICTS)}")
    actor.require("triage", FailureGroup)
    if not reason.strip():
        raise ReasonMissing("an act of staff needs a reason")
    with transaction.atomic(using=router.db_for_write(FailureGroup)):
        group = FailureGroup.objects.select_for_update().filter(pk=group_id, state__in=said.since).first()
        if group is None:
            return False
        before = group.state
        group.state, group.changed_at, group.note = said.state, now, reason.strip()
        group.ignored_until = until if said.state == FailureGroup.State.IGNORED else None
        if said.state == FailureGroup.State.ACKNOWLEDGED:
            group.owner_id = actor.user.pk if actor.user is not None else None
        group.save(update_fields=["state", "changed_at", "note", "ignored_until", "owner"])
        ledger.record(
            act=verdict,
            actor=actor.user,
            actor_name=actor.name,
            queue=group.queue,
            plan=f"failure group {group.fingerprint} ({group.code})",
            reason=reason.strip(),
            result={"before": before, "after": group.state, **({"until": until.isoformat()} if until else {})},
            request_id=actor.request_id,
            now=now,
        )
    return True
