"""The canary's judgement, without a database: how many it lets go, and when it says that the cause is still there."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from queues.desk.bulk import canary


def touched(failing: float, *, of: int, seed: int, from_item: int = 0) -> int:
    """How many items an operation touches when this share of them fails as before; each batch is heard first."""
    dice, released, heard = random.Random(seed), 0, ""
    while released < of:
        if canary.is_dead(heard):
            return released
        more = min(canary.room(released=released, out=0), of - released)
        assert more > 0
        for number in range(released, released + more):
            heard += "b" if number >= from_item and dice.random() < failing else "g"
        released += more
    return released


def test_a_cause_that_was_not_repaired_touches_six():
    assert touched(1, of=50_000, seed=1) == 6


def test_a_fifth_that_still_fails_is_found_early():
    runs = sorted(touched(0.2, of=50_000, seed=seed) for seed in range(200))
    assert runs[len(runs) // 2] <= 81
    assert runs[-4] <= 256, "all but one or two of a hundred"


def test_a_little_noise_does_not_halt_it():
    halted = sum(touched(0.02, of=5_000, seed=seed) < 5_000 for seed in range(300))
    assert halted <= 3


def test_a_relapse_stops_it_within_a_hundred():
    for seed in range(20):
        assert touched(1, of=50_000, seed=seed, from_item=10_006) <= 10_106


@pytest.mark.parametrize(
    ("released", "out", "room"),
    [
        (0, 0, 1),
        (1, 1, 0),
        (1, 0, 5),
        (3, 2, 3),
        (6, 1, 0),
        (6, 0, 25),
        (31, 0, 50),
        (81, 50, 50),
        (131, 51, 0),
        (131, 100, 0),
    ],
)
def test_what_it_lets_go(released: int, out: int, room: int):
    assert canary.room(released=released, out=out) == room


@pytest.mark.parametrize("heard", ["", "b", "bo", "g" * 100 + "bb", "o" * 50])
def test_it_lives(heard: str):
    assert not canary.is_dead(heard)


@pytest.mark.parametrize("heard", ["bb", "gbbbb", "g" * 1000 + "b" * 40])
def test_it_is_dead(heard: str):
    assert canary.is_dead(heard)


def failed(code: str, words: str, **more: str) -> SimpleNamespace:
    return SimpleNamespace(last_code=code, last_words=words, **more)


class TestCauses:
    def test_what_differs_from_item_to_item_is_no_difference(self):
        one = canary.cause_of(failed("smtp 451", "451 4.7.1 <anna@example.com> try later, id 7f3a9c2e11"))
        other = canary.cause_of(failed("smtp 451", "451 4.7.1 <bert@example.org> try later, id 00bb12cd9e"))
        assert one == other

    def test_other_codes_and_words_are_other_causes(self):
        causes = {
            canary.cause_of(failed(*said))
            for said in [("timeout", ""), ("smtp 451", "greylisted"), ("smtp 451", "mailbox busy")]
        }
        assert len(causes) == 3

    def test_an_items_own_fingerprint_is_taken(self):
        assert canary.cause_of(failed("a", "b", fingerprint="f1")) == "f1"
