"""What staff can do: each act is a permission check, the engine's transition and a ledger entry in one transaction.

    everything in `acts`    on items, as a `Plan` or as a selection    `perform`, `act_on`
    pause, resume           on a queue or one type of it
    suppress, lift          on an address

Every function takes the `Actor`, a reason and `now`, and returns what happened. Refused acts raise PermissionDenied.
"""

from __future__ import annotations

import getpass
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import models, router, transaction

from queues.desk import acts, ledger, parameters, permissions, plans
from queues.desk.bulk import before
from queues.desk.bulk.operation import Operation, Portion
from queues.desk.plans import Plan
from queues.desk.selection import Selection
from queues.email import addresses, suppressions
from queues.email.models import Suppression
from queues.engine import registry, wake
from queues.engine.pauses import Pause
from queues.monitor import pausing

CHANGED = "changed since the preview"
SUPPRESSIONS = "suppressions"
"""Stands in the ledger where other entries name their queue."""


class ReasonMissing(ValueError):
    """An act of staff needs a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: an account, or (`user` None) whoever has the shell of the server, by the system's name."""

    user: AbstractBaseUser | None
    name: str
    request_id: str = ""

    @classmethod
    def of(cls, user: AbstractBaseUser, *, request_id: str = "") -> Actor:
        """An account's holder."""
        return cls(user=user, name=user.get_username(), request_id=request_id)

    @classmethod
    def shell(cls) -> Actor:
        """The user of a command line."""
        return cls(user=None, name=f"shell:{getpass.getuser()}")

    def may(self, act: str, model: type[models.Model]) -> bool:
        """Whether it is permitted. Who has the server's shell has the database already."""
        return permissions.may(self.user, act, model) if self.user is not None else self.name.startswith("shell:")

    def require(self, act: str, model: type[models.Model]) -> None:
        """Raise PermissionDenied unless it is permitted."""
        if not self.may(act, model):
            raise PermissionDenied(f"{self.name} may not {act} {model._meta.verbose_name_plural}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`done` items were touched; `left` were not, by reason; `more` says the selection goes on."""

    act: str
    done: int
    left: Mapping[str, int]
    more: bool = False
    lowest: int = 0
    """With `more`: where the next call goes on (`below`)."""
    entry_id: int | None = None
    """The ledger entry; None if there was nothing to do."""
    operation_id: int | None = None
    """Of an act on several items: what it is undone by."""


def act_on(
    *,
    act: str,
    queue: str,
    selection: Selection,
    actor: Actor,
    reason: str,
    now: datetime,
    below: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> Result:
    """Plan and perform in one go, for programs and commands: the newest 1,000 items of the selection at most.

    If the result says `more`, call it again with `below` its `lowest`. Raises LookupError for an unknown act or queue,
    `parameters.Wrong`.
    """
    actor.require(act, registry.get(queue).model)
    plan = plans.make(act=acts.get(act), queue=queue, selection=selection, now=now, sample=0, below=below)
    result = perform(plan=plan, actor=actor, reason=reason, now=now, given=given)
    return replace(result, more=plan.more, lowest=plan.lowest)


def perform(*, plan: Plan, actor: Actor, reason: str, now: datetime, given: Mapping[str, Any] | None = None) -> Result:
    """Do what the plan says to the items that are still as it found them. Safe to repeat: nothing happens twice.

    `given` are the act's parameters. Raises PermissionDenied, ReasonMissing, `parameters.Wrong`.
    """
    queue = registry.get(plan.queue)
    actor.require(plan.act.name, queue.model)
    said = acts.Said(reason=needed(reason), now=now, given=parameters.read(plan.act.parameters, given or {}))
    left: Counter[str] = Counter(plan.left)
    with transaction.atomic(using=router.db_for_write(queue.model)):
        # Locked in one order, so that two acts on the same items wait for each other instead of dying of a deadlock.
        held = queue.model._default_manager.filter(pk__in=list(plan.versions)).select_for_update().order_by("pk")
        light = held.only("version", *before.COLUMNS)
        earlier = before.look(item for item in light if plan.versions[item.pk] == item.version)
        fit = list(earlier)
        done = plan.act.apply(queue.model._default_manager.filter(pk__in=fit), said) if fit else 0
        if drift := len(plan.versions) - done:
            left[CHANGED] += drift
        entry = operation = None
        if done:
            entry = ledger.record(
                act=plan.act.name,
                actor=actor.user,
                actor_name=actor.name,
                queue=plan.queue,
                items=fit,
                plan=plan.words,
                reason=said.reason,
                result={"done": done, "left": dict(left), **({"given": said.given} if said.given else {})},
                request_id=actor.request_id,
                now=now,
            )
            if done > 1:
                operation = _undoable(plan, said, actor, earlier, before.look(light.filter(pk__in=fit)))
                Operation.objects.filter(pk=operation.pk).update(entry=entry)
            if plan.act.runs_again or plan.act.name == "reschedule":
                wake.soon(plan.queue)
    return Result(
        act=plan.act.name,
        done=done,
        left=dict(left),
        entry_id=entry.pk if entry else None,
        operation_id=operation.pk if operation else None,
    )


def _undoable(
    plan: Plan,
    said: acts.Said,
    actor: Actor,
    earlier: Mapping[int, dict[str, Any]],
    later: Mapping[int, dict[str, Any]],
) -> Operation:
    """The act kept as an operation that is over already, so that it has a page and can be undone."""
    touched = before.changed(earlier, later)
    operation = Operation.objects.create(
        act=plan.act.name,
        queue=plan.queue,
        words=plan.words,
        state=Operation.State.FINISHED,
        actor_id=actor.user.pk if actor.user is not None else None,
        actor_name=actor.name,
        request_id=actor.request_id,
        reason=said.reason,
        given=said.given,
        planned=plan.count,
        done=len(touched),
        missed=plan.count - len(touched),
        left=dict(plan.left),
        uncertain=plan.uncertain,
        pace=0,
        prepared_at=said.now,
        started_at=said.now,
        ended_at=said.now,
    )
    items = [[pk, was["version"]] for pk, was in earlier.items()]
    Portion.objects.bulk_create(
        Portion(
            operation=operation,
            number=number,
            items=part,
            handled=len(part),
            open=False,
            before={str(pk): touched[str(pk)] for pk, _version in part if str(pk) in touched},
        )
        for number, part in enumerate(map(list, itertools.batched(items, 100)))
    )
    return operation


def pause(
    *, queue: str, kind: str = "", actor: Actor, reason: str, now: datetime, resume_at: datetime | None = None
) -> bool:
    """Hand out nothing of the queue (or of one type of it) until resumed or `resume_at`. False if it was paused."""
    model = registry.get(queue).model
    actor.require("pause", model)
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(Pause)):
        Pause.objects.filter(queue=queue, kind=kind, resume_at__lte=now).delete()
        _pause, made = Pause.objects.get_or_create(
            queue=queue,
            kind=kind,
            defaults={
                "reason": reason[:500],
                "paused_at": now,
                "paused_by_id": actor.user.pk if actor.user is not None else None,
                "resume_at": resume_at,
            },
        )
        if made:
            pausing.began(queue=queue, kind=kind, now=now, ends_at=resume_at)
            until = {"resume_at": resume_at.isoformat()} if resume_at else {}
            _record(actor, act="pause", queue=queue, plan=_whole(kind), reason=reason, result=until, now=now)
    return made


def resume(*, queue: str, kind: str = "", actor: Actor, reason: str, now: datetime) -> bool:
    """Hand out again. False if it was not paused."""
    model = registry.get(queue).model
    actor.require("pause", model)
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(Pause)):
        ended, _ = Pause.objects.filter(queue=queue, kind=kind).delete()
        if ended:
            pausing.ended(queue=queue, kind=kind, now=now)
            _record(actor, act="resume", queue=queue, plan=_whole(kind), reason=reason, now=now)
            wake.soon(queue)
    return bool(ended)


def suppress(*, address: str, scope: str, actor: Actor, reason: str, now: datetime) -> bool:
    """Send the address nothing (of that scope) any more. False if it is suppressed; ValueError if it is no address."""
    actor.require("add", Suppression)
    reason = needed(reason)
    cause = Suppression.Cause.MANUAL
    with transaction.atomic(using=router.db_for_write(Suppression)):
        held = Suppression.objects.filter(address=addresses.normalize(address), scope=scope, lifted_at__isnull=True)
        if held.filter(cause__in=suppressions.STRONG).exists():
            return False
        suppressions.suppress(address=address, cause=cause, scope=scope, words=reason, by=actor.user)
        row = held.filter(cause=cause).values_list("pk", flat=True).first()
        said = {"items": [row] if row else [], "plan": f"{address} ({scope})"}
        _record(actor, act="suppress", queue=SUPPRESSIONS, reason=reason, now=now, **said)
    return True


def lift(*, suppression_id: int, actor: Actor, reason: str, now: datetime) -> bool:
    """End a suppression. False if it had been lifted, or is not there."""
    actor.require("lift", Suppression)
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(Suppression)):
        row = Suppression.objects.filter(pk=suppression_id).select_for_update().first()
        if row is None or not row.lift(by=actor.user, now=now):
            return False
        said = f"{row.address} ({row.scope}), {row.get_cause_display()}"
        _record(actor, act="lift", queue=SUPPRESSIONS, items=[row.pk], plan=said, reason=reason, now=now)
    return True


def needed(reason: str) -> str:
    """The reason, without blanks around it. Raises ReasonMissing."""
    reason = reason.strip()
    if not reason:
        raise ReasonMissing("an act of staff needs a reason")
    return reason


def _whole(kind: str) -> str:
    return f"type {kind!r}" if kind else "the whole queue"


def _record(actor: Actor, **said: Any) -> None:
    ledger.record(actor=actor.user, actor_name=actor.name, request_id=actor.request_id, **said)
