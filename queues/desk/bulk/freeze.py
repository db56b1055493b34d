"""Prepares operations: every item that an act may touch, frozen with its version, far beyond what one page can hold."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import router, transaction

from queues.desk import acts, plans
from queues.desk.bulk.operation import UNDO, Operation, Portion
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.engine import registry

AT_MOST = 100_000
"""Items of one operation: a second of reading and three megabytes of ids."""
PORTION = 100
GENTLE, BRISK = 60, 6000
"""Default items a minute: of acts that make work again, and of those that only write."""


def prepare(*, act: str, queue: str, selection: Selection, actor: Actor, now: datetime) -> Operation:
    """Freeze what `act` may touch: of the selection the newest `AT_MOST`. Nothing is touched before `run.start`.

    Raises LookupError for an unknown act or queue, PermissionDenied.
    """
    verb, model = acts.get(act), registry.get(queue).model
    actor.require(verb.name, model)
    meant = selection.apply(model._default_manager.all(), now=now)
    rows = meant if selection.ids else meant.filter(status__in=verb.states)
    rows = rows.defer(*plans.heavy(model)).order_by("-pk")[: AT_MOST + 1]
    versions: list[tuple[int, int]] = []
    left: Counter[str] = Counter()
    found = uncertain = 0
    for found, item in enumerate(rows.iterator(chunk_size=2000), start=1):
        if found > AT_MOST:
            break
        if why := verb.hinders(item, now):
            left[why] += 1
            continue
        versions.append((item.pk, item.version))
        uncertain += verb.runs_again and item.uncertain_at is not None
    left.update(plans.others(act=verb, meant=meant, selection=selection, found=found))
    return _store(
        Operation(
            act=verb.name,
            queue=queue,
            words=selection.words,
            left={why: count for why, count in left.items() if count},
            uncertain=uncertain,
            more=found > AT_MOST,
            pace=GENTLE if verb.runs_again else BRISK,
        ),
        # The oldest first: whoever waited longest is helped first.
        items=versions[::-1],
        actor=actor,
        now=now,
    )


def prepare_undo(*, operation_id: int, actor: Actor, now: datetime) -> Operation:
    """Freeze what an operation touched and nobody touched since, to be put back as it was.

    Raises LookupError if there is no such operation or it did nothing, PermissionDenied for who may not do its act.
    """
    undone = Operation.objects.filter(pk=operation_id).first()
    if undone is None or undone.act == UNDO or not undone.done:
        raise LookupError("there is nothing to undo")
    model = registry.get(undone.queue).model
    actor.require(undone.act, model)
    items: list[tuple[int, int]] = []
    given: dict[int, dict[str, Any]] = {}
    left: Counter[str] = Counter()
    for portion in undone.portions.order_by("number").iterator(chunk_size=20):
        touched = {pk: (version, before) for pk, version, before in portion.touched}
        rows = model._default_manager.filter(pk__in=list(touched)).order_by("pk")
        there = 0
        for pk, version, status in rows.values_list("pk", "version", "status"):
            there += 1
            if version != touched[pk][0]:
                left["held by a worker" if status == "processing" else "started or changed since"] += 1
                continue
            items.append((pk, version))
            given[pk] = touched[pk][1]
        if gone := len(touched) - there:
            left["not there"] += gone
    return _store(
        Operation(
            act=UNDO,
            queue=undone.queue,
            words=f"operation {undone.pk}: {undone.act} of {undone.words}",
            left=dict(left),
            pace=BRISK,
            undoes=undone,
        ),
        items=items,
        given=given,
        actor=actor,
        now=now,
    )


def _store(
    operation: Operation,
    *,
    items: Iterable[tuple[int, int]],
    given: Mapping[int, dict[str, Any]] | None = None,
    actor: Actor,
    now: datetime,
) -> Operation:
    batches = [list(batch) for batch in itertools.batched(items, PORTION)]
    operation.planned = sum(map(len, batches))
    operation.actor_id = actor.user.pk if actor.user is not None else None
    operation.actor_name, operation.request_id = actor.name, actor.request_id
    operation.prepared_at = now
    with transaction.atomic(using=router.db_for_write(Operation)):
        operation.save(force_insert=True)
        Portion.objects.bulk_create(
            (
                Portion(
                    operation=operation,
                    number=number,
                    items=batch,
                    given={str(pk): given[pk] for pk, _version in batch} if given else {},
                )
                for number, batch in enumerate(batches)
            ),
            batch_size=200,
        )
    return operation
