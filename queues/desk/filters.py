"""What a filter means: the fields there are, and the rows each names. One parser for pages, API and commands.

    status:dead_letter error:timeout to:*@example.com age>1h type:charge.*

All words must hold. Text without a field is one exact search (recipient, key, id …), as each queue's face finds it.
Whole values of `status`, `type`, `error`, `fingerprint`, `key`, `id`, a recipient or a domain are found by an index,
`age` by the primary key; everything else narrows down what those leave, within the time that `bounded` gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from queues.desk import grammar, seek
from queues.desk.grammar import Mistake, Word
from queues.engine.states import WAITING, Priority, Status

ID_MAX = 2**63 - 1
NUMBER_MAX = 32_767
WAITING_WORD = "waiting"
STATES = (WAITING_WORD, *Status.values)
UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
LENGTH_MAX = timedelta(days=36_500)
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_LENGTH = re.compile(r"([0-9]{1,9})([a-z]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of the language. `rows` makes the condition, or raises ValueError with what is wrong."""

    name: str
    example: str
    rows: Callable[[Word, datetime], Q]
    operators: str = ":"
    stars: bool = False
    """Whether its value may begin or end with a `*`."""
    hint: Callable[[Word, datetime], Q] | None = None
    """Where a list may begin to look. It holds as long as ids grow with time, so no act relies on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter that was understood: the exact search ("" for none) and the words with fields, each once."""

    search: str = ""
    words: tuple[Word, ...] = ()
    conditions: tuple[tuple[Field, Word], ...] = ()

    def rows(self, *, now: datetime, hinted: bool = False) -> Q:
        """The condition of all fields together; `hinted` for a list, which need not read what it will not show."""
        found = Q()
        for known, word in self.conditions:
            found &= known.rows(word, now)
            if hinted and known.hint is not None:
                found &= known.hint(word, now)
        return found

    def value(self, name: str) -> str:
        """What a field was asked to be, or ""."""
        return next((word.text for word in self.words if word.field == name and word.operator == ":"), "")

    def without(self, *names: str) -> Filter:
        """The same without these fields."""
        return replace(
            self,
            words=tuple(word for word in self.words if word.field not in names),
            conditions=tuple(pair for pair in self.conditions if pair[0].name not in names),
        )

    def __str__(self) -> str:
        return grammar.write([*self.words, *([Word(text=self.search)] if self.search else [])])


def parse(text: str, *, now: datetime, also: Iterable[Field] = ()) -> Filter:
    """Understand a filter; `also` are the fields that only this queue has. Raises `Mistake`."""
    known = {each.name: each for each in (*FIELDS, *also)}
    conditions: list[tuple[Field, Word]] = []
    texts: list[str] = []
    for word in grammar.read(text):
        if not word.field:
            texts.append(word.text)
            continue
        found = known.get(word.field)
        if found is None:
            names = ", ".join(known)
            raise Mistake(
                f"There is no field {word.field!r} (to search for the text itself, quote it). There are: {names}",
                at=word.at,
            )
        _check(found, word, now)
        if any(held.field == word.field and held.operator == word.operator for _, held in conditions):
            raise Mistake(f"{word.field}{word.operator} stands there twice", at=word.at)
        conditions.append((found, word))
    return Filter(
        search=" ".join(texts).strip(), words=tuple(word for _, word in conditions), conditions=tuple(conditions)
    )


def _check(known: Field, word: Word, now: datetime) -> None:
    if word.operator not in known.operators:
        raise Mistake(f"{known.name} is asked like this: {known.example}", at=word.at)
    if (word.before or word.behind) and not known.stars:
        raise Mistake(f"{known.name} takes no *, only a whole value", at=word.at)
    try:
        known.rows(word, now)
    except ValueError as error:
        raise Mistake(f"{known.name}: {error}. It is asked like this: {known.example}", at=word.at) from None


def matches(column: str, word: Word) -> Q:
    """Rows whose text column is the value, or begins, ends or goes on as its stars say."""
    lookups = {
        (False, False): "exact",
        (False, True): "startswith",
        (True, False): "endswith",
        (True, True): "contains",
    }
    return Q(**{f"{column}__{lookups[word.before, word.behind]}": word.text})


def text(name: str, column: str, example: str) -> Field:
    """A field that compares a text column."""
    return Field(name=name, example=example, stars=True, rows=lambda word, _now: matches(column, word))


def _state(word: Word, _now: datetime) -> Q:
    if word.text == WAITING_WORD:
        return Q(status__in=WAITING)
    if word.text not in Status.values:
        raise ValueError(f"the states are {', '.join(STATES)}")
    return Q(status=word.text)


def _cause(word: Word, _now: datetime) -> Q:
    """The last cause; items without one are in no index and meant by no word."""
    return ~Q(last_code="") & matches("last_code", word)


def _age(word: Word, now: datetime) -> Q:
    """How long ago it was made."""
    lookup = "lt" if word.operator == ">" else "gt"
    return Q(**{f"created_at__{lookup}": now - length(word.text)})


def _around(word: Word, now: datetime) -> Q:
    """The ids among which those of that age are."""
    at = now - length(word.text)
    if word.operator == ">":
        return Q(pk__lte=seek.IdAt(at + seek.SLACK))
    return Q(pk__gte=seek.IdAt(at - seek.SLACK))


def _dead(word: Word, now: datetime) -> Q:
    """How long ago it died, of those that are dead."""
    return Q(
        status=Status.DEAD_LETTER, **{f"dead_at__{'lt' if word.operator == '>' else 'gt'}": now - length(word.text)}
    )


def length(text: str) -> timedelta:
    """A length of time as people write it: `30m`, `4h`. Raises ValueError."""
    found = _LENGTH.fullmatch(text.lower())
    unit = UNITS.get(found[2]) if found else None
    if found is None or unit is None:
        raise ValueError(f"a length is a number and one of {', '.join(UNITS)}")
    if int(found[1]) > LENGTH_MAX / unit:
        raise ValueError("longer than a hundred years")
    return int(found[1]) * unit


def _number(column: str) -> Callable[[Word, datetime], Q]:
    def rows(word: Word, _now: datetime) -> Q:
        lookup = {":": "exact", ">": "gt", "<": "lt"}[word.operator]
        return Q(**{f"{column}__{lookup}": _whole(word.text, NUMBER_MAX)})

    return rows


def _whole(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > largest:
        raise ValueError(f"a number from 0 to {largest}")
    return int(text)


def _fingerprint(word: Word, _now: datetime) -> Q:
    """What failed last for this cause, and has not succeeded since."""
    if not _FINGERPRINT.fullmatch(word.text.lower()):
        raise ValueError("16 hexadecimal digits, as a failure group shows them")
    return failing(word.text.lower())


def failing(fingerprint: Any) -> Q:
    """The items of one cause, said as the partial index says it, or SQLite does not see that it may use it."""
    return ~Q(fingerprint="") & Q(fingerprint=fingerprint)


def _priority(word: Word, _now: datetime) -> Q:
    levels = {level.label.lower(): level.value for level in Priority}
    if word.text.lower() not in levels:
        raise ValueError(f"one of {', '.join(levels)}")
    return Q(priority=levels[word.text.lower()])


def _is(word: Word, _now: datetime) -> Q:
    flags: dict[str, Any] = {
        "uncertain": Q(uncertain_at__isnull=False),
        "purged": Q(hidden_at__isnull=False),
        "expiring": Q(expires_at__isnull=False),
    }
    if word.text not in flags:
        raise ValueError(f"one of {', '.join(flags)}")
    found: Q = flags[word.text]
    return found


FIELDS = (
    Field(name="status", example="status:dead_letter", rows=_state),
    text("type", "kind", "type:charge.*"),
    Field(name="error", example="error:timeout", stars=True, rows=_cause),
    Field(name="fingerprint", example="fingerprint:0a1b2c3d4e5f6071", rows=_fingerprint),
    Field(name="age", example="age>1h", operators="><", rows=_age, hint=_around),
    Field(name="dead", example="dead<30m", operators="><", rows=_dead),
    Field(name="tries", example="tries>3", operators=":><", rows=_number("attempts")),
    Field(name="priority", example="priority:high", rows=_priority),
    Field(name="is", example="is:uncertain", rows=_is),
    text("key", "idempotency_key", "key:order-17"),
    Field(name="id", example="id:1042", rows=lambda word, _now: Q(pk=_whole(word.text, ID_MAX))),
)
