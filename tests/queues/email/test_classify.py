"""Whose fault a reply is: one row for each reply that servers are known to give."""

from __future__ import annotations

from typing import Any

import pytest

from queues.email import classify
from queues.email.classify import Stage
from queues.engine import outcomes

pytestmark = pytest.mark.once

T, P, D = "transient", "permanent", "transport"


@pytest.mark.parametrize(
    ("code", "words", "stage", "kind", "hard"),
    [
        # greylisting, load, storage
        (450, "4.2.0 Greylisted, see http://postgrey.example", "rcpt", T, False),
        (451, "4.7.1 Please try again later", "rcpt", T, False),
        (452, "4.3.1 Insufficient system storage", "mail", T, False),
        (452, "4.2.2 The email account that you tried to reach is over quota", "rcpt", T, False),
        (450, "Requested mail action not taken: mailbox unavailable", "rcpt", T, False),
        # the enhanced code and the code contradict each other
        (550, "4.2.2 Mailbox full", "rcpt", T, False),
        (450, "5.1.1 soft_bounce is on", "rcpt", T, False),
        # a 5 that is worth another try
        (552, "5.2.2 Mailbox full", "rcpt", T, False),
        (554, "5.3.2 System not accepting network messages", "message", T, False),
        (552, "Too many recipients", "rcpt", T, False),
        (503, "Bad sequence of commands", "mail", T, False),
        # dead addresses
        (550, "5.1.1 <a@b>: Recipient address rejected: User unknown", "rcpt", P, True),
        (550, "5.1.10 Recipient address has null MX", "rcpt", P, True),
        (556, "Domain does not accept mail", "rcpt", P, True),
        (551, "User not local", "rcpt", P, True),
        (550, "No such user here", "rcpt", P, True),
        (550, "Unrouteable address", "rcpt", P, True),
        # refused, but the address lives
        (550, "5.7.1 Service unavailable; client blocked", "rcpt", P, False),
        (554, "5.7.1 <a@b>: Relay access denied", "rcpt", P, False),
        (550, "5.2.1 The account is disabled, or gets too much mail", "rcpt", P, False),
        (550, "Rejected by policy", "rcpt", P, False),
        (550, "5.1.1 said of the whole message", "message", P, False),
        (552, "5.3.4 Message size exceeds fixed limit", "message", P, False),
        (552, "Message too large", "message", P, False),
        (554, "Transaction failed", "message", P, False),
        (553, "5.7.1 Sender address rejected: not owned by user", "mail", P, False),
        (501, "5.1.7 Bad sender address syntax", "mail", P, False),
        # every mail would meet it
        (530, "5.7.0 Authentication required", "mail", D, False),
        (535, "5.7.8 Bad credentials", "mail", D, False),
        (454, "4.7.0 Temporary authentication failure", "mail", D, False),
        (554, "No SMTP service here", "connect", D, False),
        (421, "4.3.2 Too busy", "connect", D, False),
    ],
)
def test_a_reply_has_its_meaning(code: int, words: str, stage: Stage, kind: str, hard: bool) -> None:
    judged = classify.verdict(code, words, stage=stage)

    assert (judged.kind, judged.hard) == (kind, hard)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("5.1.1 No such user", "smtp 550 5.1.1"),
        ("5.1.10 null MX", "smtp 550 5.1.10"),
        ("No such user 5.1.1", "smtp 550"),
        ("5.1.1.2 an address, no code", "smtp 550"),
        ("[192.0.2.1] blocked", "smtp 550"),
        ("", "smtp 550"),
    ],
)
def test_the_label_is_code_and_enhanced_code(words: str, label: str) -> None:
    assert classify.verdict(550, words, stage="rcpt").label == label


def test_outcomes_carry_the_words_and_the_label() -> None:
    for code, words, kind in (
        (451, "4.3.0 later", outcomes.Transient),
        (550, "5.7.1 no", classify.Refused),
        (535, "5.7.8 bad", classify.TransportDown),
    ):
        outcome = classify.smtp_outcome(code, words, stage="mail")
        assert type(outcome) is kind
        assert outcome.words == f"{code} {words}"
        assert outcome.code == f"smtp {code} {words[:5]}"


def test_only_the_transports_trouble_is_not_charged() -> None:
    charged: Any = classify.smtp_outcome(451, "4.3.0 later", stage="message")
    free: Any = classify.smtp_outcome(535, "5.7.8 bad", stage="mail")

    assert charged.charged
    assert not free.charged
    assert isinstance(free, outcomes.Transient)


def test_no_recipient_left_takes_the_mildest_reply() -> None:
    gone, busy, locked = (550, "5.1.1 gone"), (450, "4.2.1 busy"), (530, "5.7.0 log in")

    mixed = classify.all_refused({"a@x": gone, "b@x": busy})
    assert type(mixed) is outcomes.Transient
    assert mixed.code == "smtp 450 4.2.1"
    assert type(classify.all_refused({"a@x": gone, "c@x": locked})) is classify.TransportDown
    dead = classify.all_refused({"a@x": gone, "d@x": (554, "5.7.1 policy")})
    assert isinstance(dead, classify.Refused)
    assert dead.hard == ("a@x",)
    assert classify.hard_bounce(dead)


def test_what_is_retried_and_what_is_suppressed_never_overlap() -> None:
    refused = {
        "gone@x": (550, "5.1.1 gone"),
        "busy@x": (450, "4.2.1 busy"),
        "policy@x": (554, "5.7.1 policy"),
        "full@x": (552, "5.2.2 full"),
    }

    assert classify.to_retry(refused) == ["busy@x", "full@x"]
    assert classify.hard_bounced(refused) == ["gone@x"]


def test_every_row_of_the_tables_says_where_it_comes_from() -> None:
    for table in (classify.TRANSIENT_5XX, classify.HARD):
        assert all("RFC" in source for source in table.values())
    assert not set(classify.TRANSIENT_5XX) & set(classify.HARD)


def test_other_outcomes_are_no_hard_bounce() -> None:
    assert not classify.hard_bounce(outcomes.Permanent("no"))
    assert not classify.hard_bounce(ValueError())
    assert not classify.hard_bounce(classify.Refused("no"))
