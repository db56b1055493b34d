"""Many mails in every state, to see how the desk's pages do on a big table. Never for a database that is in use."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from queues.email import emails
from queues.email.models import EmailMessage
from queues.engine import failure_groups, fingerprints
from queues.engine.states import Status

BATCH = 2000
CAUSES = 400
DAYS = 30
KINDS = ("receipt", "newsletter", "password_reset", "reminder")
# One in so many: dead letters 1 %, waiting ones 0.5 % each, cancelled ones 3 %; all others were sent.
SHARES = ((100, Status.DEAD_LETTER), (200, Status.RETRYING), (200, Status.PENDING), (33, Status.CANCELLED))


def seed(*, rows: int, now: datetime, dice: random.Random | None = None) -> Iterator[int]:
    """Make `rows` mails of the last `DAYS` days; yields how many there are after each batch."""
    dice = dice or random.Random(1)  # noqa: S311 - data to look at
    causes = [
        (code, words, fingerprints.of(queue=emails.QUEUE, code=code, words=words))
        for number in range(CAUSES)
        for code, words in [(f"smtp {400 + number % 200}", f"refused by rule {_word(number)}")]
    ]
    failure_groups.seen(
        emails.QUEUE,
        [
            failure_groups.Failure(fingerprint=fingerprint, code=code, words=words, kind="receipt", at=now)
            for code, words, fingerprint in causes
        ],
    )
    first = EmailMessage.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    for begin in range(0, rows, BATCH):
        end = min(begin + BATCH, rows)
        with transaction.atomic():
            EmailMessage.objects.bulk_create(
                _mail(first + number, now - timedelta(days=DAYS) * (1 - number / rows), now, causes, dice)
                for number in range(begin, end)
            )
        yield end


def _mail(
    number: int, at: datetime, now: datetime, causes: list[tuple[str, str, str]], dice: random.Random
) -> EmailMessage:
    status = next((status for share, status in SHARES if not dice.randrange(share)), Status.SUCCEEDED)
    recipient = f"user{dice.randrange(200_000)}@mail{dice.randrange(50)}.example"
    state: dict[str, Any] = {}
    if status in (Status.DEAD_LETTER, Status.RETRYING):
        # Few causes make up most of the failures, as they do.
        code, words, fingerprint = causes[min(int(dice.expovariate(0.05)), CAUSES - 1)]
        state = {"last_code": code, "last_words": words, "fingerprint": fingerprint, "attempts": 6, "runs": 6}
    if status == Status.DEAD_LETTER:
        state["dead_at"] = at + timedelta(minutes=36)
    elif status in (Status.RETRYING, Status.PENDING):
        state["due_at"] = now + timedelta(days=365)  # nobody sends them by mistake
    else:
        state["succeeded_at" if status == Status.SUCCEEDED else "cancelled_at"] = at
    return EmailMessage(
        status=status,
        kind=KINDS[dice.randrange(len(KINDS))],
        idempotency_key=f"seed:{number}:{dice.getrandbits(40):x}",
        created_at=at,
        from_email="shop@example.com",
        to=[recipient],
        recipients=[recipient],
        recipient=recipient,
        subject=f"Number {number}",
        text="seed",
        message_id=f"<seed.{number}.{dice.getrandbits(40):x}@example.com>",
        **state,
    )


def _word(number: int) -> str:
    """A word of letters alone: fingerprints leave out numbers."""
    return "".join(chr(97 + (number // 26**place) % 26) for place in range(3))
