"""The sliding window against a brute-force model that remembers the exact instant of every grant."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from queues.engine.window import PARTS, SECOND, Window

START = 1_760_000_000_000_000
"""Some instant, in microseconds."""


@dataclass
class Waiting:
    """Who was refused and told to come again."""

    until: int
    slot: int
    disturbed: bool = False
    """Whether somebody urgent, or late, came in between, who may have taken its place."""


class AgainstTheModel(RuleBasedStateMachine):
    """One key. `real` never goes back; the clock that the window sees may."""

    @initialize(limit=st.integers(1, 6), length=st.sampled_from([1, 7, 60, 3600]))
    def start(self, limit: int, length: int) -> None:
        self.limit, self.length = limit, length * SECOND
        self.window = Window(limit, length)
        self.real = START
        self.behind = 0
        self.jumped = False
        self.granted: list[int] = []
        """Real instants of what was granted and not given back, with the slot of each."""
        self.slots: list[int] = []
        self.line: list[Waiting] = []

    @property
    def clock(self) -> int:
        return self.real - self.behind

    def _stored(self) -> None:
        """Through JSON and back, as between two statements."""
        window = self.window
        slots = {str(slot): units for slot, units in window.slots.items()}
        self.window = Window.load(
            limit=window.limit, length=window.length, slots=slots, promises=window.promises, was=window.length
        )

    def _exact(self) -> int:
        """When the next unit would be free if every grant counted exactly its own window."""
        if len(self.granted) < self.limit:
            return self.clock
        return max(self.clock, self.granted[-self.limit] - self.behind + self.length)

    def _grant(self) -> None:
        self.window.grant()
        self.granted.append(self.real)
        self.slots.append(self.window.now)

    def _refuse(self, *, ahead: bool) -> Waiting:
        slot = self.window.earliest(ahead=ahead)
        self.window.promise(slot)
        waiting = Waiting(self.window.begins(slot), slot)
        assert waiting.until > self.clock
        assert self.window.slot(waiting.until) == slot
        assert self.window.slot(waiting.until - 1) == slot - 1
        return waiting

    def _disturb(self) -> None:
        for waiting in self.line:
            waiting.disturbed = True

    @rule(part=st.floats(0, 1.2))
    def time_passes(self, part: float) -> None:
        self.real += int(self.length * part)

    @rule(part=st.floats(0.001, 3))
    def clock_is_put_back(self, part: float) -> None:
        self.behind += int(self.length * part)
        self.jumped = True
        self._disturb()

    @rule(how_many=st.integers(1, 8), as_the_first_is_due=st.booleans())
    def newcomers_ask(self, how_many: int, as_the_first_is_due: bool) -> None:
        if as_the_first_is_due and self.line:
            self.real = max(self.real, min(each.until for each in self.line) + self.behind)
        self._stored()
        self.window.forget(self.clock)
        for _ in range(how_many):
            held = [each for each in self.line if each.slot >= self.window.now and not self.jumped]
            exact = self._exact()
            if self.window.allows(ahead=False):
                self._grant()
                continue
            waiting = self._refuse(ahead=False)
            assert all(earlier.until <= waiting.until for earlier in held)
            if not held and not self.jumped:
                assert waiting.until <= exact + self.length // PARTS + 1
            self.line.append(waiting)

    @rule(keeps=st.booleans())
    def somebody_urgent_asks(self, keeps: bool) -> None:
        self._stored()
        self.window.forget(self.clock)
        exact = self._exact()
        self._disturb()
        if self.window.allows(ahead=True):
            self._grant()
        elif keeps:
            waiting = self._refuse(ahead=True)
            waiting.disturbed = True
            assert self.jumped or waiting.until <= exact + self.length // PARTS + 1
            assert waiting.until <= self.clock + self.length + self.length // PARTS + 1
            self.line.append(waiting)
        else:
            until = self.window.begins(self.window.earliest(ahead=True))
            assert self.jumped or self.clock < until <= exact + self.length // PARTS + 1

    @precondition(lambda self: self.line)
    @rule(how_many=st.integers(1, 8), late=st.integers(0, 3))
    def the_next_come_again(self, how_many: int, late: int) -> None:
        self.line.sort(key=lambda waiting: waiting.until)
        first = self.line[0].until
        came, self.line = (
            [waiting for waiting in self.line if waiting.until == first][:how_many],
            [waiting for waiting in self.line if waiting.until == first][how_many:]
            + [waiting for waiting in self.line if waiting.until > first],
        )
        lateness = late * self.length // 100
        self.real = max(self.real, first + lateness + self.behind)
        self._stored()
        self.window.forget(self.clock)
        for waiting in came:
            self.window.hand_in()
            late_by = self.window.now - waiting.slot
            if self.window.allows(ahead=True):
                self._grant()
                if late_by:  # It holds its place later than was reckoned with, and those behind it wait for that.
                    self._disturb()
            else:
                # Only who came too late, or gave way to somebody urgent, is refused again.
                assert waiting.disturbed or late_by
                self._disturb()
                again = self._refuse(ahead=True)
                again.disturbed = True
                self.line.append(again)

    @precondition(lambda self: self.granted and not self.jumped)
    @rule(data=st.data())
    def a_grant_is_given_back(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(max(0, len(self.granted) - 10), len(self.granted) - 1))
        self._stored()
        slot = self.slots.pop(at)
        del self.granted[at]
        if self.window.slots.get(slot):
            self.window.slots[slot] -= 1

    @invariant()
    def no_window_holds_more_than_the_limit(self) -> None:
        for first, over in zip(self.granted, self.granted[self.limit :], strict=False):
            assert over - first >= self.length

    @invariant()
    def nobody_stands_in_line_twice(self) -> None:
        assert sum(units for _, units in self.window.promises) <= len(self.line)

    @invariant()
    def what_is_stored_stays_small(self) -> None:
        assert len(self.window.slots) <= PARTS + 1


AgainstTheModel.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestAgainstTheModel = AgainstTheModel.TestCase


def test_a_limit_of_zero_grants_nothing_and_is_asked_again_a_window_later() -> None:
    window = Window(0, 60)
    window.forget(START)

    assert not window.allows(ahead=True)
    assert window.begins(window.earliest(ahead=True)) - START > 59 * SECOND


@pytest.mark.parametrize(("before", "after"), [(60, 3600), (3600, 60), (60, 7), (7, 60)])
def test_another_length_of_the_window_counts_what_was_granted_before(before: int, after: int) -> None:
    old = Window(3, before)
    old.forget(START)
    for _ in range(3):
        old.grant()
    old.promise(old.earliest(ahead=False))

    slots = {str(slot): units for slot, units in old.slots.items()}
    new = Window.load(limit=3, length=after, slots=slots, promises=old.promises, was=before)
    new.forget(START + SECOND // 10)
    assert not new.allows(ahead=True)
    until = new.begins(new.earliest(ahead=True))
    # The slot of the old length ends at most one of its own length later than the grant.
    assert after * SECOND <= until - START <= after * SECOND * (1 + 2 / PARTS) + before * SECOND / PARTS

    new.forget(until)
    assert new.allows(ahead=True)


def test_ten_thousand_who_wait_cost_no_more_than_a_thousand() -> None:
    """Counted in steps of the line that are looked at, not in seconds."""
    window = Window(10, 60)
    window.forget(START)
    for _ in range(10):
        window.grant()

    class Counted(list):  # type: ignore[type-arg]
        looked_at = 0

        def __reversed__(self):
            for pair in super().__reversed__():
                Counted.looked_at += 1
                yield pair

    window.promises = Counted()
    for _ in range(10_000):
        assert not window.allows(ahead=False)
        window.promise(window.earliest(ahead=False))

    assert sum(units for _, units in window.promises) == 10_000
    assert all(units <= 10 for _, units in window.promises)
    assert Counted.looked_at <= 3 * 10_000
