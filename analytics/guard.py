"""Every analytics query goes through here: limits, retries, fuse, error boundary. It answers, it does not raise.

Result      the payload, and up to when it is complete
Failure     query_timeout · database_unreachable · not_a_payload · internal · fuse_open
Later       not asked or not finished within the reader's patience, which is no failure
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connections, router

from analytics import drill, limits, reading, rollups
from analytics.fuse import CONNECTION, FUSE
from analytics.models import RollupHour
from analytics.panels.panel import Panel, whole
from analytics.reading import Question
from analytics.retry_budget import RETRIES
from queues.engine import log, retry
from queues.engine.outcomes import Transient
from queues.engine.policy import RetryPolicy

BUDGET = timedelta(seconds=5)
"""Of one panel, all its attempts together."""
FAIR = 0.9
"""A panel that had less than this share of its time is not said to have taken too long."""
POLICY = RetryPolicy(0.2, 0.6)
TRANSIENT = frozenset({"40001", "40P01", "53300", "57P01", "57P02", "57P03"})
"""Serialization failure, deadlock, too many connections, and a server that goes down or comes up."""
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """One panel's question; made when the moment of the cut is known."""

    key: str
    panel: Panel
    question: Callable[[datetime], Question]
    each: timedelta | None = None
    """How long this one may take, if not as long as all the others."""


@dataclass(frozen=True, slots=True)
class Result:
    """A good answer; `figures` is the hash of its payload."""

    payload: dict[str, Any]
    figures: str
    as_of: datetime
    milliseconds: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. `reference` is what the reader is told and the log has."""

    code: str
    reference: str
    milliseconds: int = 0
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Later:
    """Not now."""


type Answer = Result | Failure | Later


@dataclass(slots=True)
class _Round:
    """One call of `ask`, over all its attempts."""

    asks: list[Ask]
    using: str
    each: float
    begun: float
    deadline: float
    patient: bool
    answers: dict[str, Answer] = field(default_factory=dict)
    attempts: int = 0


def ask(
    asks: list[Ask],
    *,
    each: timedelta = BUDGET,
    altogether: timedelta | None = None,
    patient: bool = True,
    clock: retry.Clock = time,
) -> Mapping[str, Answer]:
    """Answer every question, by key, all from one moment of the database.

    `each` bounds one panel, `altogether` all of them. Not `patient`: the reader has a saved copy, and what takes longer
    is left for later instead of being counted as failed.
    """
    using = router.db_for_read(RollupHour)
    whole_budget = (altogether or each * max(len(asks), 1)).total_seconds()
    begun = time.monotonic()
    round_ = _Round(asks, using, each.total_seconds(), begun, begun + whole_budget, patient)
    if not asks:
        return {}
    if not FUSE.may_ask():
        return {each.key: Failure("fuse_open", _reference(), attempts=0) for each in asks}
    try:
        deadline = min(BUDGET, timedelta(seconds=whole_budget))
        RETRIES.asked(len(asks))
        classify = functools.partial(_classify, queries=len(asks))
        retry.call(POLICY, lambda: _attempt(round_), classify=classify, deadline=deadline, clock=clock)
        FUSE.succeeded()
    except (Transient, OperationalError, InterfaceError) as error:
        FUSE.failed(CONNECTION)
        reference, words = _reference(), str(error).split("\n")[0]
        logger.error("analytics.database_unreachable", reference=reference, words=words, attempts=round_.attempts)
        lost = Failure("database_unreachable", reference, _since(round_.begun), round_.attempts)
        for each_ask in asks:
            round_.answers.setdefault(each_ask.key, lost)
    return round_.answers


def _attempt(round_: _Round) -> None:
    """One cut, all panels. Raises what ends the cut as a whole: the database is away."""
    round_.attempts += 1
    round_.answers.clear()
    limits_left = max(round_.deadline - time.monotonic(), 0.05)
    watch = limits.watched(round_.using, seconds=limits_left + 1)
    with watch, limits.cut(round_.using) as own, reading.once():
        as_of = rollups.as_of()
        drills = drill.active()
        for each in round_.asks:
            if as_of is None:
                round_.answers[each.key] = Later()
                continue
            round_.answers[each.key] = _one(round_, each, as_of, drills.get(each.panel.name, ""), own=own)


def _one(round_: _Round, ask: Ask, as_of: datetime, rehearsed: str, *, own: bool) -> Answer:
    """One panel behind its own boundary: whatever its code does, the others are not touched."""
    begun = time.monotonic()
    each = ask.each.total_seconds() if ask.each else round_.each
    seconds = min(each, round_.deadline - begun)
    if seconds <= 0:
        return Later()
    code, reference = "", _reference()
    try:
        with limits.budget(round_.using, seconds=seconds, restore=not own):
            question = ask.question(as_of)
            payload = drill.rehearse(rehearsed, using=round_.using) if rehearsed else ask.panel.compute(question)
        if whole(payload, question):
            return Result(payload, _hash(payload), as_of, _since(begun), round_.attempts)
        code = "not_a_payload"
        logger.error("analytics.not_a_payload", panel=ask.panel.name, reference=reference)
    except drill.Lost:
        code = "database_unreachable"
    except DatabaseError as error:
        if _away(error, round_.using):
            raise
        if limits.gave_up(error):
            robbed = ask is not round_.asks[0] and seconds < each * FAIR  # by those before it
            if not round_.patient or robbed:
                return Later()
            code = "query_timeout"
            FUSE.failed(ask.panel.name)
            logger.warning("analytics.query_timeout", panel=ask.panel.name, reference=reference, seconds=seconds)
        else:
            code = "internal"
            logger.exception("analytics.query_failed", panel=ask.panel.name, reference=reference)
    except InterfaceError:
        raise
    except Exception:  # a bug in one panel's own code must not take the page
        code = "internal"
        logger.exception("analytics.panel_failed", panel=ask.panel.name, reference=reference)
    return Failure(code, reference, _since(begun), round_.attempts)


def _classify(error: Exception, *, queries: int) -> Exception | None:
    """What may be tried again at once: only a connection that was lost or refused, and what ends by itself."""
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:  # a caller's transaction is the caller's to end
            connection.close_if_unusable_or_obsolete()
    if not RETRIES.may_repeat(queries):
        return None
    return Transient(str(error).split("\n")[0], code="database")


def _away(error: DatabaseError, using: str) -> bool:
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in TRANSIENT or "database is locked" in str(cause):
        return True
    raw = connections[using].connection
    return isinstance(error, OperationalError) and (raw is None or bool(getattr(raw, "closed", False)))


def _hash(payload: Any) -> str:
    """Raises TypeError or ValueError for what JSON cannot hold: a bug of the panel, found behind its boundary."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)


def _reference() -> str:
    """`7F3K-2Q`: short enough to be read out on the telephone."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(6))
    return f"{letters[:4]}-{letters[4:]}"
