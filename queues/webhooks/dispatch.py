"""Dispatch: run the handlers of one event, each by itself.

each handler that has not run:  fetch (network) ─▶ transaction: hold the lease, note the run, apply [, ack]
                                  └── raises ────────┴──▶ remembered; the next one runs all the same

all ran           ▶ ack, in the transaction of the last effect
none there        ▶ cancelled: no handler (replay it once there is one)
some failed       ▶ one retry that names all causes, and then runs only these
the lease is lost ▶ nothing more is done: another worker has the event
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from django.db import connections, router, transaction
from django.utils import timezone

from queues.engine import log, registry, settle
from queues.engine.item import QueueItem
from queues.engine.outcomes import Cancel, Outcome, Permanent, Snooze, Transient
from queues.engine.registry import Done, Settled
from queues.webhooks import current, handlers, inbox, parsing, runs, stripe_api
from queues.webhooks.handlers import Event, Handler
from queues.webhooks.models import WebhookEvent

logger = log.get(__name__)


type Failures = list[tuple[str, Outcome]]
"""The names of the handlers that failed, and how."""


class Failed(Transient):
    """Several handlers failed: `words` names each with its cause."""


def dispatch(item: QueueItem, past: runs.Past) -> Done | Settled:
    """Run what has not run yet. Raises the outcome of what failed."""
    row = cast(WebhookEvent, item)
    _freshen()
    started_at = timezone.now()
    wanted = handlers.of_type(row.kind)
    if not wanted:
        raise Cancel("No handler.", code="no handler")
    ran = past.of(row)
    left = [handler for handler in wanted if handler.name not in ran]
    if not left:
        return Done("Every handler had run before.")
    data = _data(row)
    event = _event(row, data, behind=past.behind(row))
    failures: Failures = []
    state = _State(row, event)
    for handler in left:
        last = handler is left[-1] and not failures
        try:
            seen = state.now() if row.thin or (handler.current and event.behind) else event
            done = _run(handler, row, seen, started_at if last else None)
        except settle.LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001  (one handler's bug must not keep the others from running)
            failures.append((handler.name, _outcome(handler, error)))
            _freshen()
            continue
        if done is not None:
            return done
    return _ended(failures, some_ran=bool(ran) or len(failures) < len(left))


def _freshen() -> None:
    """A connection that broke under another item, or another handler, is replaced."""
    connection = connections[router.db_for_write(WebhookEvent)]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def _data(row: WebhookEvent) -> dict[str, Any]:
    body = bytes(row.payload)
    if not body:
        raise Permanent("The payload was removed after its time.", code="no payload")
    return parsing.storable(body, parsing.load(body))


def _event(row: WebhookEvent, data: Mapping[str, Any], *, behind: bool) -> Event:
    return Event(
        id=row.effect_id,
        type=handlers.plain_type(row.kind),
        created=row.occurred_at,
        data=data,
        object=(data.get("related_object") or {}) if row.thin else data["data"]["object"],
        object_id=row.object_id,
        account=row.account,
        livemode=row.livemode,
        api_version=row.api_version,
        row_id=row.pk,
        behind=behind,
        is_current=False,
    )


class _State:
    """The object's current state, asked for once an attempt however many handlers want it, also when that fails."""

    def __init__(self, row: WebhookEvent, event: Event) -> None:
        self.row = row
        self.event = event
        self.found: Event | Outcome | None = None

    def now(self) -> Event:
        """The event with the object as it is. Raises an outcome."""
        if self.found is None:
            try:
                found = current.fetch(self.row, self.event.data)
                self.found = self.event if found is None else replace(self.event, object=found, is_current=True)
            except Outcome as outcome:
                self.found = outcome
        if isinstance(self.found, Outcome):
            raise self.found
        return self.found


def _run(handler: Handler, row: WebhookEvent, event: Event, ack_since: datetime | None) -> Settled | None:
    """One handler's fetch and apply; with `ack_since` (when the attempt began) the event is settled with it."""
    seen_at = timezone.now() if event.is_current else event.created
    fetched = handler.fetch(event) if handler.fetch else None
    with transaction.atomic(using=router.db_for_write(WebhookEvent)):
        settle.hold(row)
        runs.note(handler, row, seen_at=seen_at, now=timezone.now())
        with stripe_api.forbidden("inside apply"):
            handler.apply(event, fetched)
        if ack_since is None:
            return None
        return settle.here(registry.get(inbox.QUEUE), row, Done(), started_at=ack_since, now=timezone.now())


def _outcome(handler: Handler, error: Exception) -> Outcome:
    """What a handler's exception means; an unexpected one is logged with its traceback and retried."""
    if not isinstance(error, Outcome):
        logger.error("handler.bug", handler=handler.name, exc_info=error)
        last_line = traceback.format_exception_only(error)[-1].strip()
        error = Transient(last_line, code=f"bug {type(error).__name__}")
    return error


def _ended(failures: Failures, *, some_ran: bool) -> Done:
    """How an attempt ends that was not settled with its last effect."""
    serious = [(name, outcome) for name, outcome in failures if not isinstance(outcome, Cancel)]
    if not serious and some_ran:
        return Done(_words(failures))
    if len(serious) > 1:
        raise _joined(serious)
    via, outcome = (serious or failures)[0]
    outcome.via = via
    raise outcome


def _words(failures: Failures) -> str:
    return "; ".join(f"{name}: {outcome.words}" for name, outcome in failures)


def _joined(failures: Failures) -> Outcome:
    """One outcome for several: tried again if any of them may succeed then, at the time the last of them asks for."""
    words, outcomes = _words(failures), [outcome for _, outcome in failures]
    code = " + ".join(sorted({outcome.code for outcome in outcomes}))
    again = [outcome for outcome in outcomes if not isinstance(outcome, Permanent)]
    snoozes = [outcome for outcome in again if isinstance(outcome, Snooze)]
    joined: Outcome
    if not again:
        joined = Permanent(words, code=code)
    elif len(snoozes) == len(outcomes):
        joined = Snooze(words, code=code, until=max(outcome.until for outcome in snoozes))
    else:
        advice = [each.retry_after for each in again if isinstance(each, Transient) and each.retry_after is not None]
        charged = any(not isinstance(each, Snooze) and getattr(each, "charged", True) for each in outcomes)
        joined = Failed(words, code=code, retry_after=max(advice, default=None), charged=charged)
    joined.via = ", ".join(name for name, _ in failures)
    return joined
