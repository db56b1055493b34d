"""`Plan`: exactly what an act would touch, frozen when staff looked at it, and signed so that it comes back unchanged.

Each item is held with its version. Whatever happened to it in between makes the version differ, and the act leaves it
alone: what is executed is what was shown, and a second submission finds nothing left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core import signing
from django.db.models import QuerySet

from queues.desk import bounded, faces
from queues.desk.acts import BEING, Act, get
from queues.desk.selection import WAITING_WORD, Selection
from queues.engine import registry
from queues.engine.item import QueueItem
from queues.engine.states import Status

AT_ONCE = 1000
"""Items of one act: what a person can answer for, and one transaction can hold without making workers wait."""
GOOD_FOR = timedelta(hours=1)
SALT = "queues.desk.plan"


class Stale(ValueError):
    """The plan is too old, was altered, or belongs to somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`versions`: item id → its version when it was found eligible. `left`: how many others, by reason."""

    act: Act
    queue: str
    words: str
    versions: Mapping[int, int]
    left: Mapping[str, int]
    uncertain: int = 0
    """How many of them the other side may have taken already."""
    sample: tuple[QueueItem, ...] = ()
    more: bool = False
    """Whether the selection goes on behind the first `AT_ONCE` items."""
    lowest: int = 0
    """The last of the ids looked at; the next plan may begin below it."""

    @property
    def count(self) -> int:
        """Items it would touch."""
        return len(self.versions)


def make(
    *, act: Act, queue: str, selection: Selection, now: datetime, sample: int = 8, below: int | None = None
) -> Plan:
    """Look at what `act` would do to the selection: to the newest `AT_ONCE` items of it (with ids under `below`).

    Of a filter only items in a state that the act is for are looked at one by one; the others are counted.
    """
    model = registry.get(queue).model
    # Bodies stay in the database: the light columns say whether an act fits.
    meant = selection.apply(model._default_manager.all(), now=now)
    rows = meant if selection.ids else meant.filter(status__in=act.states)
    rows = rows if below is None else rows.filter(pk__lt=below)
    found = list(rows.defer(*heavy(model)).order_by("-pk")[: AT_ONCE + 1])
    more = len(found) > AT_ONCE
    versions: dict[int, int] = {}
    left: Counter[str] = Counter()
    shown: list[QueueItem] = []
    uncertain = 0
    for item in found[:AT_ONCE]:
        if why := act.hinders(item, now):
            left[why] += 1
            continue
        versions[item.pk] = item.version
        uncertain += act.runs_again and item.uncertain_at is not None
        if len(shown) < sample:
            shown.append(item)
    left.update(others(act=act, meant=meant, selection=selection, found=len(found)))
    return Plan(
        act=act,
        queue=queue,
        words=selection.words,
        versions=versions,
        left={why: count for why, count in left.items() if count},
        uncertain=uncertain,
        sample=tuple(shown),
        more=more,
        lowest=found[:AT_ONCE][-1].pk if found else 0,
    )


def others(*, act: Act, meant: QuerySet[QueueItem], selection: Selection, found: int) -> dict[str, int]:
    """Why, and how often, what was meant was not looked at: ids that are not there (`found` are), states of a filter
    that the act leaves alone (these counts are capped).
    """
    if selection.ids:
        return {"not there": max(len(set(selection.ids)) - found, 0)}
    if selection.status and selection.status != WAITING_WORD:
        return {} if selection.status in act.states else _counted(meant, (selection.status,))
    return _counted(meant, [status for status in Status.values if status not in act.states])


def _counted(meant: QuerySet[QueueItem], states: Iterable[str]) -> dict[str, int]:
    counts = {BEING[status]: bounded.count(meant.filter(status=status), milliseconds=500).number for status in states}
    return {why: count for why, count in counts.items() if count}


def heavy(model: type[QueueItem]) -> list[str]:
    """Columns that a list of items has no use for: texts, payloads, JSON."""
    wanted = {"last_words", *faces.for_model(model).listed}
    types = ("TextField", "JSONField", "BinaryField")
    fields = [field for field in model._meta.concrete_fields if field.get_internal_type() in types]
    return [field.name for field in fields if field.name not in wanted]


def seal(plan: Plan, *, for_user: int | None) -> str:
    """The plan as a signed text for a hidden field."""
    body = {
        "act": plan.act.name,
        "queue": plan.queue,
        "words": plan.words,
        "versions": list(plan.versions.items()),
        "left": dict(plan.left),
        "uncertain": plan.uncertain,
        "user": for_user,
    }
    return signing.dumps(body, salt=SALT, compress=True)


def unseal(text: str, *, act: str, queue: str, for_user: int | None) -> Plan:
    """The plan back. Raises `Stale` if it is not this user's, for this act and queue, or older than `GOOD_FOR`."""
    try:
        body = signing.loads(text, salt=SALT, max_age=GOOD_FOR)
    except signing.BadSignature as error:
        raise Stale("the preview is too old or was altered") from error
    if (body["act"], body["queue"], body["user"]) != (act, queue, for_user):
        raise Stale("the preview belongs to something else")
    return Plan(
        act=get(act),
        queue=queue,
        words=body["words"],
        versions=dict(body["versions"]),
        left=body["left"],
        uncertain=body["uncertain"],
    )
