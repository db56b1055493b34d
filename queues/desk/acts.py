"""The acts of staff on items: which items each may touch, why not the others, and the engine's transition it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from queues.desk import faces, parameters
from queues.desk.parameters import Parameter
from queues.engine import transitions
from queues.engine.item import QueueItem
from queues.engine.states import FINISHED, WAITING, Status

BEING = {
    Status.PENDING.value: "still pending",
    Status.RETRYING.value: "still retrying",
    Status.PROCESSING.value: "held by a worker",
    Status.SUCCEEDED.value: "succeeded already",
    Status.CANCELLED.value: "cancelled already",
    Status.DEAD_LETTER.value: "a dead letter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What staff said with an act: the reason, when, and its parameters as `parameters.read` made them."""

    reason: str
    now: datetime
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One verb; `apply` is the engine's one UPDATE."""

    name: str
    done: str
    """Its past participle, for messages: `redriven`."""
    effect: str
    """What it does, in one sentence, for the page that asks for confirmation."""
    states: tuple[str, ...]
    """The states it may touch."""
    apply: Callable[[QuerySet[QueueItem], Said], int]
    on_purged: bool = False
    """It is for what was purged; all others leave that alone."""
    runs_again: bool = False
    gives_up: bool = False
    parameters: tuple[Parameter, ...] = ()
    """What it must be told besides the reason."""

    @property
    def label(self) -> str:
        """The verb on a button."""
        return self.name.capitalize()

    def hinders(self, item: QueueItem, now: datetime) -> str:
        """Why it cannot touch this item; "" if it can."""
        if not self.on_purged and item.hidden_at:
            return "purged"
        if self.on_purged and not item.hidden_at:
            return "not purged"
        if self.on_purged and item.hidden_at and item.hidden_at <= now - transitions.RESTORABLE:
            return "purged more than seven days ago"
        if item.status not in self.states:
            return BEING[item.status]
        return faces.for_model(type(item)).unrunnable(item) if self.runs_again else ""

    def fits(self, *, status: str, purged: bool) -> bool:
        """Whether a list filtered by this state ("waiting" is two of them) holds what the act is for."""
        if self.on_purged or purged:
            return self.on_purged and purged
        return status in self.states or (status == "waiting" and Status.PENDING in self.states)


ACTS = {
    act.name: act
    for act in (
        Act(
            name="redrive",
            done="redriven",
            effect="Dead letters go back to pending: due at once, with a whole new schedule before them.",
            states=(Status.DEAD_LETTER,),
            apply=lambda items, said: transitions.redrive(items, now=said.now),
            runs_again=True,
        ),
        Act(
            name="replay",
            done="set to run again",
            effect="Finished items run again although they succeeded or were cancelled: what they did happens twice.",
            states=FINISHED,
            apply=lambda items, said: transitions.replay(items, now=said.now),
            runs_again=True,
        ),
        Act(
            name="snooze",
            done="snoozed",
            effect="Waiting items wait longer: they run no earlier than after the hours you say. No attempt is lost.",
            states=WAITING,
            apply=lambda items, said: transitions.reschedule(
                items, due_at=said.now + timedelta(hours=said.given["hours"])
            ),
            parameters=(parameters.HOURS,),
        ),
        Act(
            name="reschedule",
            done="rescheduled",
            effect="Waiting items run at the time you say, or at once if that has passed.",
            states=WAITING,
            apply=lambda items, said: transitions.reschedule(
                items, due_at=max(datetime.fromisoformat(said.given["at"]), said.now)
            ),
            parameters=(parameters.AT,),
        ),
        Act(
            name="prioritize",
            done="given another priority",
            effect="Of what is due, items of a higher priority are taken first. A dead letter keeps it when redriven.",
            states=(*WAITING, Status.DEAD_LETTER),
            apply=lambda items, said: transitions.prioritize(
                items, priority=parameters.PRIORITIES[said.given["priority"]]
            ),
            parameters=(parameters.PRIORITY,),
        ),
        Act(
            name="discard",
            done="discarded",
            effect="Redrive gives up on them: they become cancelled. Their rows stay and can be replayed later.",
            states=(*WAITING, Status.DEAD_LETTER),
            apply=lambda items, said: transitions.discard(items, reason=said.reason, now=said.now),
            gives_up=True,
        ),
        Act(
            name="purge",
            done="purged",
            effect="They disappear at once and can be restored for seven days; after that only their keys remain.",
            states=(*FINISHED, Status.DEAD_LETTER),
            apply=lambda items, said: transitions.hide(items, now=said.now),
            gives_up=True,
        ),
        Act(
            name="restore",
            done="restored",
            effect="Purged items come back into sight, in the state they were in.",
            states=tuple(Status.values),
            apply=lambda items, said: transitions.restore(items, now=said.now),
            on_purged=True,
        ),
    )
}


def get(name: str) -> Act:
    """The act of that name. Raises LookupError."""
    try:
        return ACTS[name]
    except KeyError:
        raise LookupError(f"there is no act named {name!r}; there are: {', '.join(ACTS)}") from None
