"""Redrive through `emails.enqueue`, `emails.enqueue_many` and its command `drain email`, on its own settings.

Limits are raised so far that they refuse nothing, and are still asked for every mail.
"""

from __future__ import annotations

import os
import pathlib
from collections import Counter
from typing import Any

import django
from django.core.management import call_command
from django.db.models import Count

from benchmarks.email import mail, progress

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "SECRET_KEY": "benchmarks-benchmarks-benchmarks-benchmarks-benchmarks",
    "LEDGER_KEY": "benchmarks",
    "RATE_LIMITS": "email=100000000/60,email.recipient=100000000/60",
}
COUNTED_AS = {"succeeded": "sent", "dead_letter": "failed", "cancelled": "cancelled"}


def prepare() -> None:
    folder = pathlib.Path(os.environ["BENCH_PROGRESS"]).parent / "redrive"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(SETTINGS, VAR_DIR=str(folder))
    django.setup()
    if os.environ.get("BENCH_TRANSPORT") == "null":
        _without_transport()


def migrate() -> None:
    call_command("migrate", verbosity=0)


def enqueue(number: int, to: str) -> None:
    from queues.email import emails

    emails.enqueue(**_arguments(number, to))


def enqueue_many(pairs: list[tuple[int, str]]) -> None:
    from queues.email import emails

    emails.enqueue_many([emails.Draft(**_arguments(number, to)) for number, to in pairs])


def drain(host: int) -> None:
    call_command("drain", "email")


def state() -> dict[str, int]:
    """Count rows; `charged` is mails that count more than the one attempt they needed."""
    from queues.email.models import EmailMessage

    mails = EmailMessage.objects.order_by()
    counts = Counter[str]()
    for status, number in mails.values_list("status").annotate(number=Count("*")):
        counts[COUNTED_AS.get(status, "pending")] += number
    counts["uncertain"] = mails.filter(uncertain_at__isnull=False).count()
    counts["charged"] = mails.filter(status="succeeded", attempts__gt=1).count()
    return {name: counts[name] for name in ("pending", "sent", "failed", "uncertain", "charged")}


def _arguments(number: int, to: str) -> dict[str, Any]:
    return {
        "to": [to],
        "from_email": mail.SENDER,
        "subject": mail.SUBJECT,
        "text": mail.TEXT,
        "html": mail.HTML,
        "headers": [(mail.HEADER, str(number))],
        "idempotency_key": f"bench-{number}-{to}",
    }


def _without_transport() -> None:
    """Take the place of the SMTP connection, as the peers' null backend does: no message is built, none is sent."""
    from queues.email import smtp
    from queues.email.receipt import Receipt

    receipt = Receipt(words="250 not sent")

    def send(self: smtp.SmtpConnection, *arguments: object, **named: object) -> Receipt:
        progress.count()
        return receipt

    smtp.SmtpConnection.send = smtp.SmtpConnection.send_bytes = send  # type: ignore[method-assign]
