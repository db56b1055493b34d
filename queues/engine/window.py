"""The sliding window of one rate counter: pure arithmetic on slots of 1/60 of the window, in whole microseconds.

A slot's units count until the whole slot has left the window. So no window of the given length ever holds more than
the limit, and what is refused is at most one slot (1/60 of a window) late.

    slots     units granted, by slot; never later than now (see `forget`)
    promises  units refused and told to come in a later slot: a line in which nobody is overtaken but by who is
              `ahead`, and which keeps 10,000 waiting items from asking again and again; never earlier than now

`grant.sql` says the same for PostgreSQL.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, takewhile

PARTS = 60
"""Slots of one window."""
SECOND = 1_000_000


@dataclass(slots=True)
class Window:
    """State of one key; `length` is the window in seconds. Call `forget` before all else."""

    limit: int
    length: int
    slots: dict[int, int] = field(default_factory=dict)
    promises: list[list[int]] = field(default_factory=list)
    """[slot, units], the earliest first."""
    now: int = 0
    """The slot of this moment."""

    @classmethod
    def load(
        cls, *, limit: int, length: int, slots: Mapping[str, int], promises: Iterable[list[int]], was: int = 0
    ) -> Window:
        """From JSON, whose keys are text. `was` is the window's length when it was stored, if that is known."""
        granted = [(int(slot), units) for slot, units in slots.items()]
        line = [(slot, units) for slot, units in promises]
        if was not in (0, length):
            # The same instants in slots of the new length, each rounded to the later one.
            granted = [(-((slot + 1) * was // -length) - 1, units) for slot, units in granted]
            line = [(-(slot * was // -length), units) for slot, units in line]
        return cls(limit, length, _summed(granted), [list(pair) for pair in sorted(_summed(line).items())])

    def slot(self, micros: int) -> int:
        """The slot that the instant (microseconds since 1970) lies in."""
        return micros * PARTS // (self.length * SECOND)

    def begins(self, slot: int) -> int:
        """The first microsecond of the slot."""
        return -(slot * self.length * SECOND // -PARTS)

    def forget(self, micros: int) -> None:
        """Make `micros` this moment: drop what lies wholly before its window.

        What was granted in a later slot was granted before a clock was put back: it counts from now on.
        """
        self.now = self.slot(micros)
        granted = ((min(slot, self.now), units) for slot, units in self.slots.items() if slot >= self.now - PARTS)
        self.slots = _summed(granted)
        self.promises = [pair for pair in self.promises if pair[0] >= self.now]

    def allows(self, *, ahead: bool) -> bool:
        """Whether a unit may be granted now; who is not `ahead` leaves room for those who hold a promise."""
        near = () if ahead else takewhile(lambda pair: pair[0] <= self.now + PARTS, self.promises)
        line = sum(units for _, units in near)
        return sum(self.slots.values()) + line < self.limit

    def grant(self) -> None:
        """Count a granted unit."""
        self.slots[self.now] = self.slots.get(self.now, 0) + 1

    def hand_in(self) -> None:
        """Who was promised this slot has come: the promise is used up, whatever becomes of it now."""
        if self.promises and self.promises[0][0] == self.now:
            self.promises[0][1] -= 1
            if not self.promises[0][1]:
                del self.promises[0]

    def earliest(self, *, ahead: bool) -> int:
        """The first slot in which a unit can be granted: behind all who wait already, or, `ahead`, before them."""
        if self.limit < 1:
            return self.now + PARTS + 1  # Never, really; ask again when the limit may have changed.
        target, units = self.now, 1
        line = [] if ahead else self.promises
        if line:
            target = line[-1][0]
        # From the end of the line, so that its length does not matter.
        for taken, count in chain(reversed(line), sorted(self.slots.items(), reverse=True)):
            units += count
            if units > self.limit:
                return max(target, taken + PARTS + 1)
        return target

    def promise(self, slot: int) -> None:
        """Keep a unit of that slot for who was refused."""
        if self.promises and self.promises[-1][0] == slot:
            self.promises[-1][1] += 1
        elif not self.promises or self.promises[-1][0] < slot:
            self.promises.append([slot, 1])
        elif found := next((pair for pair in self.promises if pair[0] == slot), None):
            found[1] += 1
        else:
            insort(self.promises, [slot, 1])


def _summed(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for slot, units in pairs:
        total[slot] = total.get(slot, 0) + units
    return total
