"""The canary: 1, 5, 25, then ever 50 items are let go, and the rest only while the old cause does not come back.

It halts at two failures of the same cause if, by the lower end of Wilson's 95 % interval over the last 200 that were
heard of, more than a tenth fail. Simulated: a cause not repaired touches 6 items; 20 % failing touch at most 256, and
half of the time 31; 2 % noise halts one run in two hundred wrongly.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from queues.engine.item import QueueItem
from queues.engine.states import Status

FIRST = (1, 5, 25)
THEN = 50
OUT_MAX = 50
"""After the first steps, so many may be unheard of before the next are let go: a relapse touches no more than a few."""
REMEMBERED = 200
AT_LEAST = 2
TOO_MANY = 0.10
Z = 1.96
SEEN = ("pk", "status", "attempts", "last_code", "last_words")
_VARIES = re.compile(r"[0-9a-f]{8,}|\S+@\S+|\d+", re.IGNORECASE)


def cause_of(item: Any) -> str:
    """What made it fail, with everything that differs from item to item taken out: one word for one cause."""
    if own := getattr(item, "fingerprint", ""):
        return str(own)
    said = f"{item.last_code}\n{_VARIES.sub('#', item.last_words)[:500]}"
    return hashlib.blake2b(said.encode(errors="replace"), digest_size=8).hexdigest()


def room(*, released: int, out: int) -> int:
    """How many more may be let go now, of which `released` were before and `out` have not been heard of."""
    bound = 0
    for step in FIRST:
        bound += step
        if released < bound:
            # A step is heard to its end before the next.
            begun = released > bound - step
            return bound - released if begun or not out else 0
    return min(THEN, max(OUT_MAX * 2 - out, 0)) if out <= OUT_MAX else 0


def hear(model: type[QueueItem], watched: Sequence[Sequence[Any]]) -> tuple[str, list[list[Any]]]:
    """How the watched items came back: a letter each for those that did, and the others."""
    rows = {item.pk: item for item in model._default_manager.filter(pk__in=[pk for pk, _cause in watched])}
    heard, out = [], []
    for pk, cause in watched:
        letter = _letter(rows.get(pk), cause)
        if letter:
            heard.append(letter)
        else:
            out.append([pk, cause])
    return "".join(heard), out


def _letter(item: QueueItem | None, cause: str) -> str:
    if item is None or item.status == Status.CANCELLED:
        return "o"
    if item.status == Status.SUCCEEDED:
        return "g"
    # A snooze gives its attempt back: an item that waits for its limit has not been heard of.
    if item.status == Status.PROCESSING or (item.status != Status.DEAD_LETTER and not item.attempts):
        return ""
    return "b" if cause_of(item) == cause else "o"


def is_dead(heard: str) -> bool:
    """Whether so many of the last came back with the same cause that it cannot be repaired."""
    last = heard[-REMEMBERED:]
    bad = last.count("b")
    return bad >= AT_LEAST and _wilson(bad, len(last)) > TOO_MANY


def _wilson(bad: int, of: int) -> float:
    """The lower end of the interval in which the true share lies."""
    share = bad / of
    middle = share + Z * Z / (2 * of)
    spread = Z * math.sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    return (middle - spread) / (1 + Z * Z / of)


def words(heard: Iterable[str]) -> str:
    """Why it halted, for staff."""
    said = "".join(heard)
    return (
        f"The same cause came back: {said.count('b')} of the last {len(said)} that ran failed as they had before. "
        "The rest was left where it was."
    )
