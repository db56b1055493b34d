"""django-post_office through `mail.send`, `mail.send_many` and its command `send_queued_mail`."""

from __future__ import annotations

import logging
import os
import tempfile
from typing import Any

import django
from django.core.management import call_command
from django.db.models import Count

from benchmarks.email import mail


def prepare() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.email.contenders.peer_settings"
    django.setup()
    import post_office.mail  # noqa: F401  its import sets up a log line per message, which the others do not write

    logging.getLogger("post_office").setLevel(logging.CRITICAL)


def migrate() -> None:
    call_command("migrate", verbosity=0)


def enqueue(number: int, to: str) -> None:
    from post_office import mail as post_office

    post_office.send(**_arguments(number, to))


def enqueue_many(pairs: list[tuple[int, str]]) -> None:
    from post_office import mail as post_office

    post_office.send_many([_arguments(number, to) for number, to in pairs])


def drain(host: int) -> None:
    # Its lock is a file, so workers on several machines, or in several containers, do not see each other's.
    lock = os.environ.get("BENCH_LOCK") or os.path.join(tempfile.mkdtemp(), f"host{host}")
    call_command("send_queued_mail", "--lockfile", lock, "-p", os.environ.get("BENCH_PROCESSES", "1"))


def state() -> dict[str, int]:
    from post_office.models import STATUS, Email

    names = {STATUS.sent: "sent", STATUS.failed: "failed", STATUS.queued: "pending", STATUS.requeued: "pending"}
    counts = dict.fromkeys(names.values(), 0)
    for status, number in Email.objects.order_by().values_list("status").annotate(number=Count("*")):
        counts[names[status]] += number
    return counts


def _arguments(number: int, to: str) -> dict[str, Any]:
    return {
        "recipients": [to],
        "sender": mail.SENDER,
        "subject": mail.SUBJECT,
        "message": mail.TEXT,
        "html_message": mail.HTML,
        "headers": {mail.HEADER: str(number)},
    }
