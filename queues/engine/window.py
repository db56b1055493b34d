"""The sliding window of one rate counter: pure arithmetic on slots of 1/60 of the window.

A slot's units count until the whole slot has left the window. So no window of the given length ever holds more than
the limit, and what is refused is at most one slot (1/60 of a window) late.

    slots     units granted, by slot
    promises  units refused and told to come in a later slot, by that slot; a line in which nobody is overtaken
              but by urgent work, and which keeps 10,000 waiting items from asking again and again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PARTS = 60
"""Slots of one window."""


@dataclass(slots=True)
class Window:
    """State of one key. Slot numbers are `floor(seconds / (length / PARTS))`."""

    limit: int
    length: float
    slots: dict[int, int] = field(default_factory=dict)
    promises: dict[int, int] = field(default_factory=dict)

    @classmethod
    def load(cls, *, limit: int, length: float, slots: Mapping[str, int], promises: Mapping[str, int]) -> Window:
        """From JSON objects, whose keys are text."""
        return cls(limit, length, {int(s): n for s, n in slots.items()}, {int(s): n for s, n in promises.items()})

    def slot(self, at: float) -> int:
        """The slot that `at` (seconds) lies in."""
        return int(at * PARTS // self.length)

    def starts(self, slot: int) -> float:
        """When the slot begins, in seconds."""
        return slot * self.length / PARTS

    def forget(self, slot: int) -> None:
        """Drop what lies wholly before the window that ends in `slot`. Later slots stay: a clock may jump back."""
        self.slots = {s: n for s, n in self.slots.items() if s >= slot - PARTS}
        self.promises = {s: n for s, n in self.promises.items() if s >= slot}

    def allows(self, units: int, *, slot: int, ahead: bool) -> bool:
        """Whether `units` may be granted in `slot`; only who is `ahead` passes those who hold a promise.

        Call `forget(slot)` first.
        """
        return sum(self.slots.values()) + units <= self.limit and (ahead or not self.promises)

    def grant(self, units: int, *, slot: int) -> None:
        """Count granted units; who held a promise for this slot or an earlier one has used it."""
        self.slots[slot] = self.slots.get(slot, 0) + units

    def promise(self, units: int, *, slot: int) -> int:
        """The slot from which `units` can be granted behind all who wait already, kept for them."""
        taken = sorted([*self.slots.items(), *self.promises.items()], reverse=True)
        target = max([slot, *self.promises])
        units_behind = units
        for taken_slot, count in taken:
            units_behind += count
            if units_behind > self.limit:
                target = max(target, taken_slot + PARTS + 1)
                break
        self.promises[target] = self.promises.get(target, 0) + units
        return target
