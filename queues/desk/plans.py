"""`Plan`: exactly what an act would touch, frozen when staff looked at it, and signed so that it comes back unchanged.

Each item is held with its version. Whatever happened to it in between makes the version differ, and the act leaves it
alone: what is executed is what was shown, and a second submission finds nothing left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core import signing

from queues.desk.acts import Act, get
from queues.desk.selection import Selection
from queues.engine import registry
from queues.engine.item import QueueItem

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
    sample: tuple[QueueItem, ...] = ()
    more: bool = False
    """Whether the selection goes on behind the first `AT_ONCE` items."""

    @property
    def count(self) -> int:
        """Items it would touch."""
        return len(self.versions)


def make(*, act: Act, queue: str, selection: Selection, now: datetime, sample: int = 8) -> Plan:
    """Look at what `act` would do to the selection: the newest `AT_ONCE` items of it."""
    model = registry.get(queue).model
    # Bodies stay in the database: the light columns say whether an act fits.
    rows = selection.apply(model._default_manager.all()).defer(*heavy(model)).order_by("-pk")
    found = list(rows[: AT_ONCE + 1])
    more = len(found) > AT_ONCE
    versions: dict[int, int] = {}
    left: Counter[str] = Counter()
    shown: list[QueueItem] = []
    for item in found[:AT_ONCE]:
        if why := act.hinders(item, now):
            left[why] += 1
            continue
        versions[item.pk] = item.version
        if len(shown) < sample:
            shown.append(item)
    gone = len(set(selection.ids)) - len(found)
    if selection.ids and gone > 0:
        left["not there"] += gone
    return Plan(
        act=act,
        queue=queue,
        words=selection.words,
        versions=versions,
        left=dict(left),
        sample=tuple(shown),
        more=more,
    )


def heavy(model: type[QueueItem]) -> list[str]:
    """Columns that a list of items has no use for: texts, payloads, JSON."""
    wanted = {"last_code", "last_words"}
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
    return Plan(act=get(act), queue=queue, words=body["words"], versions=dict(body["versions"]), left=body["left"])
