"""The history of one item on one line of time: its attempts, what was reported of it, and the acts of staff."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from queues.desk import acts, ledger
from queues.engine.attempts import Attempt
from queues.engine.item import QueueItem

SHOWN = 200
"""Of each kind, the newest; an item with more has been failing for days."""

OUTCOMES = {
    "ack": ("good", "succeeded"),
    "retry": ("warning", "failed, to be tried again"),
    "snooze": ("note", "put off"),
    "cancel": ("cancelled", "cancelled"),
    "dead_letter": ("bad", "failed for good"),
    "lost": ("warning", "lost its worker"),
}


SAID = {"edit": "edited and redriven", "view payload": "contents looked at"}
"""What the ledger's words are in a history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the history. `at` is None where the beginning was lost with the worker."""

    at: datetime | None
    shape: str
    title: str
    words: str = ""
    facts: tuple[str, ...] = ()


def of(item: QueueItem, *, queue: str, reported: Iterable[Event] = ()) -> list[Event]:
    """Everything known of the item, newest first; `reported` is what its own queue adds (tracking, say)."""
    attempts = _placed(Attempt.objects.filter(queue=queue, item_id=item.pk).order_by("-pk")[:SHOWN])
    entries = ledger.of_item(queue=queue, item_id=item.pk, limit=SHOWN)
    created = Event(at=item.created_at, shape="note", title="Created")
    known: list[Event] = [event for event in [*map(_act, entries), *reported, created] if event.at is not None]
    placed = [*attempts, *((event.at, event) for event in known)]
    return [event for _at, event in sorted(placed, key=lambda pair: pair[0] or item.created_at, reverse=True)]


def _placed(attempts: Iterable[Attempt]) -> list[tuple[datetime | None, Event]]:
    """Each attempt with the moment it is sorted by: one that lost its own stands just before the next that has one."""
    placed: list[tuple[datetime | None, Event]] = []
    later: datetime | None = timezone.now()
    for attempt in attempts:
        event = _attempt(attempt)
        later = event.at or later
        placed.append((later, event))
    return placed


def _attempt(attempt: Attempt) -> Event:
    shape, word = OUTCOMES.get(attempt.outcome, ("note", attempt.outcome))
    facts = [attempt.code, attempt.via and f"via {attempt.via}", attempt.worker and f"by {attempt.worker}"]
    facts.append("" if attempt.charged else "not charged")
    facts.append(f"took {attempt.duration_ms:,} ms" if attempt.started_at else "")
    ended_at = attempt.started_at and attempt.started_at + timedelta(milliseconds=attempt.duration_ms)
    return Event(
        at=ended_at,
        shape=shape,
        title=f"Run {attempt.number} {word}",
        words=attempt.words,
        facts=tuple(fact for fact in facts if fact),
    )


def _act(entry: ledger.LedgerEntry) -> Event:
    done = acts.ACTS[entry.act].done if entry.act in acts.ACTS else SAID.get(entry.act, entry.act)
    others = f"with {entry.item_count - 1:,} others" if entry.item_count > 1 else ""
    return Event(
        at=entry.at,
        shape="person",
        title=f"{done.capitalize()} by {entry.actor_name}",
        words=entry.reason,
        facts=tuple(fact for fact in (others, f"ledger entry {entry.pk}") if fact),
    )
