"""What a handler can say about its attempt, other than returning (which is `ack`).

Outcome
├── Transient        try again by the schedule, or when the other side says so
│   └── Uncertain    the other side may have taken it; only its answer is missing
├── Permanent        dead letter at once: trying again cannot help
├── Snooze           not an attempt: give it back and come again at a given time
└── Cancel           nothing to do, with the reason

Anything else a handler raises is a bug: it is logged with its traceback and treated as Transient.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

WORDS_MAX = 2000
"""Characters kept of what the other side said."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without what no database stores: NUL, and the halves of surrogate pairs (undecodable bytes)."""
    if text.isascii() and "\x00" not in text:
        return text
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


class Outcome(Exception):
    """Base of what a handler may raise to end its attempt.

    `words`: what the other side said, or why; shown to staff, so no secrets.
    `code`: the short cause, stable enough to group by (`"smtp 451"`, `"timeout"`).
    `via`: the transport or handler that said it, set by who called it.
    """

    via = ""

    def __init__(self, words: str, *, code: str = "") -> None:
        self.words = clean(words[:WORDS_MAX])
        self.code = clean(code) or type(self).__name__.lower()
        super().__init__(self.words)


class Transient(Outcome):
    """Try again: by the schedule, or after `retry_after`, the other side's own advice, which wins.

    `charged=False` gives the attempt back: the item itself was never tried (a 421 before MAIL FROM, a connection
    that broke under another item, an open breaker).
    """

    def __init__(
        self, words: str, *, code: str = "", retry_after: timedelta | None = None, charged: bool = True
    ) -> None:
        super().__init__(words, code=code)
        self.retry_after = retry_after
        self.charged = charged


class Uncertain(Transient):
    """The whole request was written and no answer came: the other side may have taken it."""


class Permanent(Outcome):
    """Trying again cannot help: a refused address, a malformed payload."""


class Snooze(Outcome):
    """Not an attempt: come again at `until` (an aware datetime)."""

    def __init__(self, words: str, *, until: datetime, code: str = "") -> None:
        super().__init__(words, code=code)
        self.until = until


class Cancel(Outcome):
    """Nothing to do: `words` is the reason (`"suppressed: hard bounce"`, `"no handler"`)."""
