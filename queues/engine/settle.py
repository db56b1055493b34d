"""Settle: end attempts, many in one statement; each holds only if its lease token still does.

attempt ── returned ──▶ ack ─────────▶ succeeded
        ├─ Transient ─▶ retry ───────▶ retrying (by the schedule), or dead_letter when it is used up
        ├─ Permanent ─▶ dead_letter
        ├─ Snooze ────▶ snooze ──────▶ retrying, the attempt given back
        └─ Cancel ────▶ cancel ──────▶ cancelled
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from django.db import connections, models, router, transaction

from queues.engine import failure_groups, fingerprints, origin, records, statements
from queues.engine.attempts import Attempt
from queues.engine.item import QueueItem
from queues.engine.outcomes import Cancel, Outcome, Permanent, Snooze, Transient, Uncertain, clean
from queues.engine.policy import RETRY_AFTER_MAX
from queues.engine.registry import Done, OnDead, Queue, Settled
from queues.engine.states import Status

log = structlog.get_logger(__name__)

UNCERTAIN_HOLD = timedelta(minutes=15)
"""How long an uncertain item waits for word from the other side before its type's rule decides."""


@dataclass(slots=True)
class Settlement:
    """How one attempt ended; built by `decide`, written by `settle`."""

    item: QueueItem
    verdict: str
    status: Status
    now: datetime
    started_at: datetime
    code: str = ""
    words: str = ""
    via: str = ""
    due_at: datetime | None = None
    waits_for: str = ""
    charged: bool = True
    uncertain: bool = False
    fingerprint: str | None = None
    """Set when it is written; None leaves the item's as it is."""
    fields: dict[str, Any] = field(default_factory=dict)
    effect: Callable[[], None] | None = None


def decide(
    queue: Queue,
    item: QueueItem,
    result: Done | BaseException | None,
    *,
    started_at: datetime,
    now: datetime,
    rules: bool = True,
) -> Settlement:
    """What the handler's return or exception means for the item. Pure, but for the log line of an unexpected error.

    `rules=False` leaves out the queue's own `on_dead`, for when that is what failed.
    """
    common: dict[str, Any] = {"item": item, "now": now, "started_at": started_at}
    on_dead = queue.on_dead if rules else None
    if not isinstance(result, BaseException):  # whatever else it returned: it did its work
        done = result if isinstance(result, Done) else Done()
        return Settlement(
            verdict="ack",
            status=Status.SUCCEEDED,
            words=done.words,
            via=done.via,
            fields=done.fields,
            effect=done.effect,
            **common,
        )
    said: dict[str, Any] = {name: getattr(result, name, "") for name in ("code", "words", "via")}
    match result:
        case Cancel():
            return Settlement(verdict="cancel", status=Status.CANCELLED, **said, **common)
        case Snooze():
            until = min(result.until, now + RETRY_AFTER_MAX)
            return _wait("snooze", until, waits_for=result.code, charged=False, **said, **common)
        case Permanent():
            return _dead(on_dead, result, **said, **common)
        case Transient():
            return _retry(queue, on_dead, result, said, common)
    log.error("handler.bug", queue=queue.name, item=item.pk, exc_info=result)
    last_line = traceback.format_exception_only(result)[-1].strip()
    bug = Transient(last_line, code=f"bug {type(result).__name__}")
    return _retry(queue, on_dead, bug, {"code": bug.code, "words": bug.words, "via": ""}, common)


def end(queue: Queue, item: QueueItem, outcome: BaseException, *, started_at: datetime, now: datetime) -> Settlement:
    """`decide` for what was raised, whatever it was: an outcome that means nothing, or a rule that fails, is a bug."""
    try:
        return decide(queue, item, outcome, started_at=started_at, now=now)
    except Exception as bug:  # noqa: BLE001 - the queue's own code
        return decide(queue, item, bug, started_at=started_at, now=now, rules=False)


def settle(queue: Queue, settlements: Sequence[Settlement]) -> set[int]:
    """Write them in one transaction, with their effects; returns the ids whose lease still held.

    An id that is not returned was reclaimed from this worker: nothing of its settlement is written.
    Raises what an effect raises; then nothing is written at all (the caller settles one by one).
    """
    if not settlements:
        return set()
    using = router.db_for_write(queue.model)
    effects = [settlement for settlement in settlements if settlement.effect is not None]
    if not effects and len(_statements(using, queue.model)[1]) == 1:  # one statement is a transaction by itself
        held = _write(queue, settlements, using)
    else:
        with transaction.atomic(using=using):
            held = _write(queue, settlements, using)
            for settlement in effects:
                if settlement.effect is not None and settlement.item.pk in held:
                    settlement.effect()
    for settlement in settlements:
        _report(queue, settlement, held=settlement.item.pk in held)
    failure_groups.seen(queue.name, _failures(each for each in settlements if each.item.pk in held))
    return held


class LeaseLost(Transient):
    """Another worker may have the item by now: whatever this one did for it must be rolled back."""


def hold(item: QueueItem) -> None:
    """Inside a handler's transaction: lock the item's row and make sure that its lease is still ours.

    Raises LeaseLost. Until the transaction ends nobody can reclaim the item.
    """
    rows = (
        type(item)
        ._default_manager.select_for_update()
        .filter(pk=item.pk, lease_token=item.lease_token, status=Status.PROCESSING)
    )
    if not rows.values_list("pk", flat=True).first():
        raise LeaseLost("the lease ran out before the work was done", code="lease lost")


def here(
    queue: Queue, item: QueueItem, result: Done | Outcome | None, *, started_at: datetime, now: datetime
) -> Settled:
    """Settle one item inside the caller's transaction, so that its effects and the settlement are one.

    Raises LeaseLost, which must roll the transaction back. The handler then returns what this returns.
    """
    settlement = decide(queue, item, result, started_at=started_at, now=now)
    if item.pk not in _write(queue, [settlement], router.db_for_write(queue.model)):
        raise LeaseLost("the lease ran out before the work was done", code="lease lost")
    if settlement.effect is not None:
        settlement.effect()
    return Settled(settlement.verdict)


def _retry(
    queue: Queue, on_dead: OnDead | None, outcome: Transient, said: dict[str, str], common: dict[str, Any]
) -> Settlement:
    item: QueueItem = common["item"]
    uncertain = isinstance(outcome, Uncertain)
    if not outcome.charged:
        pause = min(outcome.retry_after or timedelta(seconds=queue.policy.delays[0]), RETRY_AFTER_MAX)
        return _wait("retry", common["now"] + pause, charged=False, uncertain=uncertain, **said, **common)
    said = said | ({"waits_for": "uncertain"} if uncertain else {})
    delay = queue.policy.delay(attempts=item.attempts, max_retries=item.max_retries, retry_after=outcome.retry_after)
    if delay is None:
        said.pop("waits_for", None)
        return _dead(on_dead, outcome, uncertain=uncertain, **said, **common)
    return _wait("retry", common["now"] + delay, uncertain=uncertain, **said, **common)


def _wait(verdict: str, due_at: datetime, **rest: Any) -> Settlement:
    return Settlement(verdict=verdict, status=Status.RETRYING, due_at=due_at, **rest)


def _dead(on_dead: OnDead | None, outcome: Any, **rest: Any) -> Settlement:
    effect = on_dead(rest["item"], outcome) if on_dead else None
    return Settlement(verdict="dead_letter", status=Status.DEAD_LETTER, effect=effect, **rest)


COLUMNS: dict[str, models.Field[Any, Any]] = {
    "id": models.BigIntegerField(),
    "token": models.UUIDField(),
    "status": models.CharField(),
    "due_at": models.DateTimeField(),
    "at": models.DateTimeField(),
    "given_back": models.IntegerField(),
    "waits_for": models.CharField(),
    "uncertain": models.IntegerField(),
    "code": models.CharField(),
    "words": models.TextField(),
    "fingerprint": models.CharField(),
    "verdict": models.CharField(),
    "number": models.IntegerField(),
    "started_at": models.DateTimeField(),
    "duration_ms": models.IntegerField(),
    "via": models.CharField(),
    "worker": models.CharField(),
}


def _write(queue: Queue, settlements: Sequence[Settlement], using: str) -> set[int]:
    source, sql = _statements(using, queue.model)
    for each in settlements:
        each.fingerprint = _fingerprint(queue, each)
    with statements.cursor(connections[using]) as cursor:
        if len(sql) == 1:
            cursor.execute(sql[0], [source.dump([_row(each) for each in settlements]), queue.name])
            return {row[0] for row in cursor.fetchall()}
        cursor.execute(sql[0], [source.dump([_row(each) for each in settlements])])
        held = {row[0] for row in cursor.fetchall()}
        cursor.execute(sql[1], [queue.name, source.dump([_row(each) for each in settlements if each.item.pk in held])])
        return held


@functools.cache
def _statements(using: str, model: type[QueueItem]) -> tuple[records.Records, tuple[str, ...]]:
    """The compare-and-set and the history rows: one statement on PostgreSQL, two on SQLite."""
    own = {name: model._meta.get_field(name) for name in model.SETTLED_FIELDS}
    source = records.build(using, COLUMNS | cast("dict[str, models.Field[Any, Any]]", own))
    table = model._meta.db_table
    final = {"succeeded": "succeeded_at", "cancelled": "cancelled_at", "dead_letter": "dead_at"}
    assignments = [
        "status = v.status",
        "due_at = COALESCE(v.due_at, q.due_at)",
        "attempts = q.attempts - v.given_back",
        "version = q.version + 1",
        "lease_token = NULL, leased_until = NULL, leased_by = ''",
        "waits_for = v.waits_for",
        "uncertain_at = CASE WHEN v.uncertain = 1 THEN v.at WHEN v.status = 'succeeded' THEN NULL"
        " ELSE q.uncertain_at END",
        "last_code = v.code, last_words = v.words, fingerprint = COALESCE(v.fingerprint, q.fingerprint)",
        *(f"{name} = CASE WHEN v.status = '{status}' THEN v.at ELSE q.{name} END" for status, name in final.items()),
        *(f'"{name}" = COALESCE(v."{name}", q."{name}")' for name in own),
    ]
    held = "WHERE q.id = v.id AND q.lease_token = v.token AND q.status = 'processing'"
    update = f"UPDATE {table} AS q SET {', '.join(assignments)} FROM {{}} {held} RETURNING"
    history = (
        f"INSERT INTO {Attempt._meta.db_table} (queue, item_id, number, started_at, duration_ms, outcome, code, words,"
        " via, worker, charged) SELECT %s, v.id, number, started_at, duration_ms, verdict, code, words, via, worker,"
        " given_back = 0 FROM"
    )
    if connections[using].vendor != "postgresql":
        return source, (f"{update.format(source.source)} id", f"{history} {source.source}")
    return source, (
        f"WITH v AS MATERIALIZED (SELECT * FROM {source.source}), held AS ({update.format('v')} q.id),"
        f" kept AS ({history} v JOIN held ON held.id = v.id) SELECT id FROM held",
    )


def _row(settlement: Settlement) -> dict[str, Any]:
    item = settlement.item
    took = max(settlement.now - settlement.started_at, timedelta())
    return {
        "id": item.pk,
        "token": item.lease_token,
        "status": settlement.status.value,
        "due_at": settlement.due_at,
        "at": settlement.now,
        "given_back": 0 if settlement.charged else 1,
        "waits_for": settlement.waits_for[:100],
        "uncertain": int(settlement.uncertain),
        "code": clean(settlement.code)[:100],
        "words": clean(settlement.words),
        "fingerprint": settlement.fingerprint,
        "verdict": settlement.verdict,
        "number": item.runs,
        "started_at": settlement.started_at,
        "duration_ms": min(int(took.total_seconds() * 1000), 2**31 - 1),
        "via": clean(settlement.via)[:200],
        "worker": item.leased_by,
        **settlement.fields,
    }


def _fingerprint(queue: Queue, settlement: Settlement) -> str | None:
    """Of a failure; "" for what ended well; None for what was not tried, which says nothing of the failure before."""
    if settlement.verdict in ("ack", "cancel"):
        return ""
    if not settlement.charged:
        return None
    known = {"kind": settlement.item.kind, "via": settlement.via}
    return fingerprints.of(
        queue=queue.name,
        code=settlement.code,
        words=settlement.words,
        handler="\x1f".join(known[name] for name in queue.model.FAILS_BY),
    )


def _failures(settlements: Iterable[Settlement]) -> list[failure_groups.Failure]:
    return [
        failure_groups.Failure(
            fingerprint=each.fingerprint,
            code=clean(each.code),
            words=clean(each.words),
            kind=each.item.kind,
            at=each.now,
        )
        for each in settlements
        if each.fingerprint
    ]


def _report(queue: Queue, settlement: Settlement, *, held: bool) -> None:
    item = settlement.item
    if not held:
        log.warning("lease.lost", queue=queue.name, item=item.pk, attempt=item.attempts, verdict=settlement.verdict)
        return
    write = log.debug if settlement.verdict in ("ack", "snooze") else log.warning
    came = origin.read(item.origin)
    about = {"queue": queue.name, "item": item.pk, "attempt": item.attempts, "code": settlement.code}
    write(f"item.{settlement.verdict}", **about, **({"request_id": came.request_id} if came.request_id else {}))
