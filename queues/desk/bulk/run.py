"""Carries operations out: a few items a transaction, at a pace, from wherever the last one came to.

The items' transition, how far the operation came and the ledger's mention of each item commit together: after kill -9
the next one goes on with the next item, and none is touched twice. Two who carry on the same operation wait for each
other at its row and keep one pace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone

from queues.desk import acts, ledger, parameters
from queues.desk.bulk import before, canary
from queues.desk.bulk.operation import PACE_MAX, UNDO, Operation, Portion
from queues.desk.operations import Actor, needed
from queues.engine import registry, residence, transitions, wake
from queues.engine.item import QueueItem
from queues.engine.states import WAITING

log = structlog.get_logger(__name__)

State = Operation.State
STEP_MAX = 50
"""Items of one transaction: few enough that no worker waits for it."""
BACKLOG = 100
"""While so many items of the queue are due, an operation that makes more work lets them be worked off first."""
LOOK_AGAIN = timedelta(seconds=2)
HELD = timedelta(seconds=30)
RENEW = timedelta(seconds=10)
NAP_SECONDS = 1.0


class NotReady(ValueError):
    """The operation cannot be started or aborted as it stands; the words say why."""


def start(
    *,
    operation_id: int,
    actor: Actor,
    reason: str,
    pace: int,
    canary: bool,
    now: datetime,
    given: Mapping[str, Any] | None = None,
) -> Operation:
    """Begin a prepared operation, once, by who prepared it. `pace` in items a minute; `given` are the act's parameters.

    Raises NotReady, PermissionDenied, `operations.ReasonMissing`, `parameters.Wrong`.
    """
    reason = needed(reason)
    if not 1 <= pace <= PACE_MAX:
        raise NotReady(f"the pace is between 1 and {PACE_MAX:,} items a minute")
    with transaction.atomic(using=router.db_for_write(Operation)):
        operation = _locked(operation_id)
        if operation.state != State.PREPARED:
            raise NotReady(f"it was started before: it is {operation.get_state_display().lower()}")
        if operation.is_stale(now=now):
            raise NotReady("it was prepared too long ago: prepare it again")
        if operation.actor_id != (actor.user.pk if actor.user is not None else None):
            raise NotReady("somebody else prepared it")
        _require(actor, operation)
        operation.state, operation.reason, operation.pace = State.RUNNING, reason, pace
        wanted = () if operation.act == UNDO else acts.get(operation.act).parameters
        operation.given = parameters.read(wanted, given or {})
        operation.canary = canary and runs_again(operation)
        operation.started_at = operation.next_at = now
        operation.entry = _record(operation, act=operation.act, actor=actor, reason=reason, now=now, count=0)
        operation.save()
        soon()
    return operation


def abort(*, operation_id: int, actor: Actor, reason: str, now: datetime) -> Operation:
    """Stop it where it is. Raises NotReady if it does not run, PermissionDenied, `operations.ReasonMissing`."""
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(Operation)):
        operation = _locked(operation_id)
        _require(actor, operation)
        if operation.state != State.RUNNING:
            raise NotReady("it does not run")
        _end(operation, State.ABORTED, f"Aborted by {actor.name}: {reason}", actor=actor, reason=reason, now=now)
    return operation


def runs_again(operation: Operation) -> bool:
    """Whether its items become due for work."""
    return operation.act != UNDO and acts.get(operation.act).runs_again


def step(*, operation_id: int, now: datetime) -> datetime | None:
    """Touch the next few items if they are due. Returns when to come again; None once the operation is over."""
    with transaction.atomic(using=router.db_for_write(Operation)):
        operation = _locked(operation_id)
        if operation.state != State.RUNNING or operation.next_at is None:
            return None
        if operation.next_at > now:
            return operation.next_at
        if operation.canary:
            _listen(operation)
            if canary.is_dead(operation.heard):
                _end(operation, State.HALTED, canary.words(operation.heard), now=now)
                return None
        portion = operation.portions.filter(open=True).order_by("number").first()
        if portion is None:
            _end(operation, State.FINISHED, "", now=now)
            return None
        size, operation.why = _room(operation, now)
        if size:
            taken = _touch(operation, portion, size, now)
            beat = timedelta(minutes=taken / operation.pace)
            # Behind by more than a beat is not made up for: after a rest it goes on as gently as before.
            operation.next_at = max(operation.next_at, now - beat) + beat
        else:
            operation.next_at = now + LOOK_AGAIN
        operation.held_until = now + HELD
        operation.save()
        return operation.next_at


def carry_on(
    *, stay: timedelta, clock: Callable[[], datetime] = timezone.now, nap: Callable[[float], None] = time.sleep
) -> int:
    """Carry on whatever runs and nobody carries on, for as long as `stay`. Returns how many are over."""
    begun, renewed, over = clock(), clock(), 0
    mine: dict[int, datetime] = {}
    while (now := clock()) < begun + stay and not residence.stopping():
        mine |= dict.fromkeys(_take(now), now)
        if not mine:
            return over
        if now - renewed >= RENEW:
            Operation.objects.filter(pk__in=list(mine), state=State.RUNNING).update(held_until=now + HELD)
            renewed = now
        for pk, at in list(mine.items()):
            following = step(operation_id=pk, now=now) if at <= now else at
            if following is None:
                del mine[pk]
                over += 1
            else:
                mine[pk] = following
        if mine:
            nap(min(max((min(mine.values()) - clock()).total_seconds(), 0.0), NAP_SECONDS))
    if Operation.objects.filter(pk__in=list(mine), state=State.RUNNING).update(held_until=None):
        soon()
    return over


def soon() -> None:
    """Hint, after the caller's transaction, that an operation runs; without it the clock finds it within a minute."""
    transaction.on_commit(_hint, using=router.db_for_write(Operation), robust=True)


def _hint() -> None:
    from django_q.tasks import async_task

    async_task("queues.tasks.carry_on_operations", task_name="operations", group="operations")


def _take(now: datetime) -> list[int]:
    """The running operations that nobody holds, now held."""
    free = Q(held_until__isnull=True) | Q(held_until__lt=now)
    found = list(Operation.objects.filter(free, state=State.RUNNING).order_by("pk").values_list("pk", flat=True)[:20])
    held = Operation.objects.filter(free, state=State.RUNNING)
    return [pk for pk in found if held.filter(pk=pk).update(held_until=now + HELD)]


def _locked(operation_id: int) -> Operation:
    operation = Operation.objects.select_for_update(of=("self",)).filter(pk=operation_id).first()
    if operation is None:
        raise NotReady("there is no such operation")
    return operation


def _require(actor: Actor, operation: Operation) -> None:
    undone = operation.undoes
    actor.require(undone.act if undone is not None else operation.act, registry.get(operation.queue).model)


def _listen(operation: Operation) -> None:
    heard, operation.watched = canary.hear(registry.get(operation.queue).model, operation.watched)
    operation.heard = (operation.heard + heard)[-canary.REMEMBERED :]


def _room(operation: Operation, now: datetime) -> tuple[int, str]:
    """How many items may be touched now, and if none, why."""
    size = min(max(operation.pace // 60, 1), STEP_MAX)
    if not runs_again(operation):
        return size, ""
    if operation.canary:
        size = min(size, canary.room(released=operation.handled, out=len(operation.watched)))
        if not size:
            return 0, f"Waits to hear how the last {len(operation.watched)} went."
    due = registry.get(operation.queue).model._default_manager.filter(
        status__in=WAITING, hidden_at__isnull=True, due_at__lte=now
    )
    size = min(size, BACKLOG - due[:BACKLOG].count())
    return (size, "") if size > 0 else (0, f"Waits: {BACKLOG} items of the queue are due and come first.")


def _touch(operation: Operation, portion: Portion, size: int, now: datetime) -> int:
    """Do it to the portion's next items that are as they were frozen; returns how many were looked at."""
    model = registry.get(operation.queue).model
    frozen = dict(portion.items[portion.handled : portion.handled + size])
    rows = model._default_manager.filter(pk__in=list(frozen))
    light = rows.only("version", *before.COLUMNS, *_cause(model))
    held = {item.pk: item for item in light.select_for_update().order_by("pk")}
    earlier = before.look(item for item in held.values() if item.version == frozen[item.pk])
    fit = list(earlier)
    if operation.act == UNDO:
        for pk in fit:
            transitions.put_back(rows, item_id=pk, columns=before.read(model, portion.given[str(pk)]))
    elif fit:
        said = acts.Said(reason=operation.reason, now=now, given=operation.given)
        acts.get(operation.act).apply(rows.filter(pk__in=fit), said)
    touched = before.changed(earlier, before.look(light.filter(pk__in=fit)))
    done = [pk for pk in fit if str(pk) in touched]
    portion.before |= touched
    if operation.entry_id is not None:
        ledger.mention(entry_id=operation.entry_id, queue=operation.queue, items=done, now=now)
    if operation.canary:
        operation.watched = [*operation.watched, *([pk, canary.cause_of(held[pk])] for pk in done)]
    portion.handled += len(frozen)
    portion.open = portion.handled < len(portion.items)
    portion.save(update_fields=["handled", "before", "open"])
    operation.done += len(done)
    operation.missed += len(frozen) - len(done)
    if done and (operation.act == UNDO or runs_again(operation)):
        wake.soon(operation.queue)
    return len(frozen)


def _cause(model: type[QueueItem]) -> list[str]:
    """The column that names the cause, where items have one."""
    return [field.attname for field in model._meta.concrete_fields if field.attname == "fingerprint"]


def _end(
    operation: Operation, state: str, why: str, *, now: datetime, actor: Actor | None = None, reason: str = ""
) -> None:
    """The operation is over: its state and its second ledger entry."""
    operation.state, operation.why, operation.ended_at = state, why, now
    operation.next_at = operation.held_until = None
    by = actor or Actor(user=operation.actor, name=operation.actor_name, request_id=operation.request_id)
    act = f"{operation.act} ended"
    _record(operation, act=act, actor=by, reason=reason or operation.reason, now=now, count=operation.done)
    operation.save()
    log.info("operation.ended", operation=operation.pk, state=state, done=operation.done, missed=operation.missed)


def _record(
    operation: Operation, *, act: str, actor: Actor, reason: str, now: datetime, count: int
) -> ledger.LedgerEntry:
    left = {**operation.left, **({"changed since it was prepared": operation.missed} if operation.missed else {})}
    said: dict[str, Any] = {"operation": operation.pk, "state": operation.state, "planned": operation.planned}
    said |= {"pace": operation.pace, "canary": operation.canary, "left": left}
    if operation.given:
        said["given"] = operation.given
    if operation.undoes_id:
        said["undoes"] = operation.undoes_id
    return ledger.record(
        act=act,
        actor=actor.user,
        actor_name=actor.name,
        queue=operation.queue,
        plan=operation.words,
        reason=reason,
        result=said | ({"done": operation.done, "why": operation.why} if operation.ended_at else {}),
        request_id=actor.request_id or operation.request_id,
        count=count,
        now=now,
    )
