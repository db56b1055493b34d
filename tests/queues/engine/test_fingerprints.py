"""Fingerprints: what the same cause says in a hundred ways is one group, and two causes are never one."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queues.engine import fingerprints

CAUSES: dict[str, tuple[str, str]] = {
    "full": ("smtp 452", "452 4.2.2 <{address}>: mailbox full ({number} of {number} bytes) id={id}"),
    "unknown": ("smtp 550", "550 5.1.1 <{address}>: user unknown in relay table, queue id {id}"),
    "spam": ("smtp 550", "550 5.7.1 message {id} from {ip} rejected as spam, see https://help.example/{id}?n={number}"),
    "later": ("smtp 451", "451 4.7.1 Greylisted for {number} seconds, come back later"),
    "host": ("connection", "[Errno 111] Connection refused by {ip}:{number}"),
    "hostless": ("connection", "[Errno -2] Name or service not known"),
    "timeout": ("timeout", "no answer within {number} s from {ip}"),
    "bug key": ("bug KeyError", "KeyError: '{word}'"),
    "bug attribute": ("bug AttributeError", "AttributeError: 'NoneType' object has no attribute '{word}'"),
    "stripe": ("stripe 404", "No such customer: 'cus_{id}'; a similar object exists in test mode (req_{id})"),
    "order": ("order missing", "no order for event evt_{id} of {uuid}"),
    "limit": ("http 429", 'too many requests: {{"retry_after": {number}, "request": "{uuid}"}}'),
    "json": ("bug JSONDecodeError", "Expecting value: line {number} column {number} (char {number})"),
    "database": ("bug IntegrityError", 'duplicate key value violates unique constraint "{word}"'),
    "tls": ("tls", "certificate has expired on {ip} at 2026-{number}-{number}T10:{number}:00Z"),
}


def varied(template: str, dice: random.Random) -> str:
    """The same cause as another item would say it."""
    digits = "".join(dice.choice("0123456789abcdef") for _ in range(12))
    return template.format(
        address=f"{dice.choice(['anna', 'b.c', 'x+y'])}{dice.randint(0, 99)}@mail{dice.randint(1, 9)}.example.com",
        number=dice.randint(1, 99_999),
        id=dice.choice(["A1", "9z"]) + digits.upper(),
        ip=".".join(str(dice.randint(1, 254)) for _ in range(4)),
        word=dice.choice(["order", "customer_id", "line items", "x"]),
        uuid=f"{digits[:8]}-{digits[:4]}-4{digits[1:4]}-8{digits[2:5]}-{digits}",
    )


def test_three_hundred_failures_fall_into_their_causes():
    dice = random.Random(7)
    labelled = [
        (name, fingerprints.of(queue="email", code=code, words=varied(template, dice)))
        for name, (code, template) in CAUSES.items()
        for _ in range(20)
    ]
    pairs = [(a[0] == b[0], a[1] == b[1]) for a, b in itertools.combinations(labelled, 2)]
    together = [same for same, joined in pairs if joined]
    alike = [joined for same, joined in pairs if same]
    assert len(labelled) == 300
    assert sum(together) / len(together) >= 0.98, "precision"
    assert sum(alike) / len(alike) >= 0.95, "recall"


@pytest.mark.parametrize("other", [{"queue": "push"}, {"code": "smtp 452"}, {"words": "another"}, {"handler": "pay"}])
def test_queue_code_words_and_handler_all_count(other: dict[str, str]):
    said = {"queue": "email", "code": "smtp 451", "words": "come back later", "handler": ""}
    assert fingerprints.of(**said) == fingerprints.of(**said)
    assert fingerprints.of(**said | other) != fingerprints.of(**said)


@given(st.text(max_size=700), st.text(max_size=20))
def test_any_words_have_one_of_sixteen_digits(words: str, code: str):
    found = fingerprints.of(queue="email", code=code, words=words)
    assert len(found) == fingerprints.LENGTH
    assert int(found, 16) >= 0


@pytest.mark.parametrize(
    "words", ["a" * 5000, "1:" * 5000, "'" * 5000, "a@" * 5000, "a1-" * 5000, "<" * 5000, "\ud800"]
)
def test_hostile_words_cost_little(words: str):
    assert len(fingerprints.normal(words)) < 2000
