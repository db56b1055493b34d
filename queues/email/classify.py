"""What the other side said, as the engine's outcome: whose fault it is, and whether to try again.

Transient            a 4xx, a time-out before the end of the message was written
├── TransportDown    every mail would have met it: connection, TLS, log-in, provider out of order; not the mail's fault
└── Uncertain        the whole message was written and no answer came
Permanent
└── Refused          5xx; `hard` says that the address itself is dead and may be suppressed

A reply is transient if its code or its enhanced status code says so: where they contradict each other (RFC 2034 section
4 forbids it, servers do it), one try too many costs minutes, one too few costs the mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from queues.engine import outcomes

type Stage = Literal["connect", "mail", "rcpt", "data", "message"]
type Kind = Literal["transient", "permanent", "transport"]

LOGIN_CODES = frozenset({454, 530, 534, 535, 538})
"""Log-in wanted, refused or for now impossible: RFC 4954 section 6. The same for every mail on this transport."""

TRANSIENT_5XX = {
    "5.2.2": "mailbox full: 'should be used as a persistent transient failure', RFC 3463 section 3.3",
    "5.3.1": "mail system full: its owner makes room, RFC 3463 section 3.4",
    "5.3.2": "system not accepting network messages: shutdown or load, RFC 3463 section 3.4",
    "5.4.5": "congestion: 'useful only as a persistent transient error', RFC 3463 section 3.5",
    "5.5.3": "too many recipients: the rest goes in a second message, RFC 5321 section 4.5.3.1.10",
    "5.7.12": "log-in needs a new password: staff can repair it, RFC 4954 section 6 (4.7.12)",
}
"""Enhanced codes that are worth the retries although they begin with a 5."""

HARD = {
    "5.1.1": "no such mailbox, RFC 3463 section 3.2",
    "5.1.2": "no such system, RFC 3463 section 3.2",
    "5.1.3": "not an address, RFC 3463 section 3.2",
    "5.1.6": "moved without a forwarding address, RFC 3463 section 3.2",
    "5.1.10": "the domain takes no mail (null MX), RFC 7505 section 4.2",
}
"""The address is dead. Not here: 5.2.1 (Gmail says it of a mailbox that gets too much mail, too), 5.7.x (policy)."""

HARD_WORDS = re.compile(
    r"(?i)user unknown|unknown user|no such (?:user|recipient|mailbox|address)"
    r"|(?:user|mailbox|recipient) (?:does not|doesn't) exist|(?:user|mailbox|recipient|address) not found"
    r"|no mailbox here|unrouteable address|invalid (?:recipient|mailbox)"
)
"""How servers without enhanced codes say 5.1.1 (Exim, qmail, Sendmail); only believed after a 550 or 553 to RCPT."""

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


class TransportDown(outcomes.Transient):
    """The transport is out of order, the mail was not tried: counts for the breaker, not for the mail."""

    def __init__(self, words: str, *, code: str = "", retry_after: timedelta | None = None) -> None:
        super().__init__(words, code=code or "transport down", retry_after=retry_after, charged=False)


class Refused(outcomes.Permanent):
    """The other side refused this mail for good. `hard`: the addresses themselves are dead."""

    def __init__(self, words: str, *, code: str = "", hard: Iterable[str] = ()) -> None:
        super().__init__(words, code=code)
        self.hard = tuple(hard)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one reply means."""

    kind: Kind
    hard: bool
    label: str
    """`"smtp 550 5.1.1"`: short and the same for the same cause."""


def verdict(code: int, words: str, *, stage: Stage) -> Verdict:
    """Judge one SMTP reply that was not the hoped-for one."""
    found = _ENHANCED.match(words.lstrip())
    enhanced = found.group(0) if found else ""
    label = f"smtp {code} {enhanced}".rstrip()
    if stage == "connect" or code in LOGIN_CODES:
        return Verdict("transport", False, label)
    if code < 500 or enhanced.startswith("4") or enhanced in TRANSIENT_5XX:
        return Verdict("transient", False, label)
    if code == 552 and stage == "rcpt" and not enhanced:
        # RFC 821 servers say "too many recipients" so; to be read as 452 (RFC 5321 section 4.5.3.1.10)
        return Verdict("transient", False, label)
    if code in {500, 502, 503, 504} and not enhanced:
        # about the conversation, not about the mail: a fresh connection may fare better
        return Verdict("transient", False, label)
    hard = stage == "rcpt" and (
        enhanced in HARD
        or code in {551, 556}
        or (not enhanced and code in {550, 553} and bool(HARD_WORDS.search(words)))
    )
    return Verdict("permanent", hard, label)


def smtp_outcome(code: int, words: str, *, stage: Stage) -> outcomes.Outcome:
    """The outcome for a reply to the whole mail (to MAIL FROM, DATA or its end)."""
    judged = verdict(code, words, stage=stage)
    said = f"{code} {words}"
    match judged.kind:
        case "transport":
            return TransportDown(said, code=judged.label)
        case "transient":
            return outcomes.Transient(said, code=judged.label)
        case _:
            return Refused(said, code=judged.label)


def all_refused(refused: Mapping[str, tuple[int, str]]) -> outcomes.Outcome:
    """The outcome when no recipient was taken: transient if that may change for one of them."""
    judged = {address: verdict(code, words, stage="rcpt") for address, (code, words) in refused.items()}
    worst = min(judged, key=lambda address: ("transport", "transient", "permanent").index(judged[address].kind))
    code, words = refused[worst]
    said = f"{code} {words} <{worst}>"
    match judged[worst].kind:
        case "transport":
            return TransportDown(said, code=judged[worst].label)
        case "transient":
            return outcomes.Transient(said, code=judged[worst].label)
        case _:
            return Refused(said, code=judged[worst].label, hard=hard_bounced(refused))


def to_retry(refused: Mapping[str, tuple[int, str]]) -> list[str]:
    """The recipients of a Receipt that are worth another try, alone."""
    return [
        address for address, (code, words) in refused.items() if verdict(code, words, stage="rcpt").kind != "permanent"
    ]


def hard_bounced(refused: Mapping[str, tuple[int, str]]) -> list[str]:
    """The recipients whose address is dead, to be suppressed."""
    return [address for address, (code, words) in refused.items() if verdict(code, words, stage="rcpt").hard]


def hard_bounce(outcome: BaseException) -> bool:
    """Whether this outcome says that an address is dead (`outcome.hard` names it)."""
    return isinstance(outcome, Refused) and bool(outcome.hard)
