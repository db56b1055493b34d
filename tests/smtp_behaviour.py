"""The ways in which the SMTP server of tests/smtp_sink.py can misbehave, by name."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Behaviour:
    """What to do at one stage; the other stages are friendly."""

    stage: str = ""
    """connect, mail, rcpt, data (the command) or message (its end was read)."""
    reply: str = ""
    then: str = ""
    """close: hang up (after the reply, if there is one); stall: never answer again."""
    keep: bool = False
    """At the message stage: it was accepted although the client does not learn it."""
    delay_ms: int = 0


BEHAVIOURS = {
    "ok": Behaviour(),
    "451": Behaviour("message", "451 4.3.0 try again later"),
    "452": Behaviour("message", "452 4.3.1 out of storage"),
    "550": Behaviour("message", "550 5.7.1 refused by policy"),
    "552": Behaviour("message", "552 5.3.4 message too big"),
    "554": Behaviour("message", "554 5.6.0 malformed"),
    "rcpt450": Behaviour("rcpt", "450 4.2.1 mailbox busy"),
    "rcpt451": Behaviour("rcpt", "451 4.7.1 greylisted, try again in 60 seconds"),
    "rcpt550": Behaviour("rcpt", "550 5.1.1 no such user"),
    "rcpt552": Behaviour("rcpt", "552 5.2.2 mailbox full"),
    "rcpt554": Behaviour("rcpt", "554 5.7.1 relay access denied"),
    "mail421": Behaviour("mail", "421 4.3.2 shutting down", "close"),
    "mail451": Behaviour("mail", "451 4.3.0 not now"),
    "mail530": Behaviour("mail", "530 5.7.0 log in first"),
    "mail550": Behaviour("mail", "550 5.7.1 sender refused"),
    "rcpt421": Behaviour("rcpt", "421 4.7.0 too many errors", "close"),
    "message421": Behaviour("message", "421 4.3.2 shutting down", "close"),
    "connect421": Behaviour("connect", "421 4.3.2 too busy", "close"),
    "connect554": Behaviour("connect", "554 5.3.2 no service here", "close"),
    "close-connect": Behaviour("connect", "", "close"),
    "close-mail": Behaviour("mail", "", "close"),
    "close-rcpt": Behaviour("rcpt", "", "close"),
    "close-data": Behaviour("data", "", "close"),
    "close-message": Behaviour("message", "", "close"),
    "reply-lost": Behaviour("message", "", "close", keep=True),
    "stall-connect": Behaviour("connect", "", "stall"),
    "stall-mail": Behaviour("mail", "", "stall"),
    "stall-rcpt": Behaviour("rcpt", "", "stall"),
    "stall-data": Behaviour("data", "", "stall"),
    "stall-message": Behaviour("message", "", "stall"),
    "reply-stall": Behaviour("message", "", "stall", keep=True),
    "eager-data": Behaviour("data", "354 go on"),  # even if every recipient was refused (RFC 2920 section 3.1)
    "garbage": Behaviour("message", "what?"),
}


def parse(name: str) -> Behaviour:
    """A word of BEHAVIOURS, `slow-<ms>` or `stage:reply`; ValueError if it is none."""
    if name in BEHAVIOURS:
        return BEHAVIOURS[name]
    if name.startswith("slow-") and name[5:].isdigit():
        return Behaviour("message", delay_ms=int(name[5:]))
    stage, colon, reply = name.partition(":")
    if colon and stage in {"connect", "mail", "rcpt", "data", "message"}:
        return Behaviour(stage, reply, "close" if reply.startswith("421") else "")
    raise ValueError(f"no such behaviour: {name}")
