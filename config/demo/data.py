"""What `make up` shows on its first day: log-ins, mail on its way, and a history with some failures in it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction

from config.demo import campaigns, measures, pushes, shop
from queues.desk import permissions
from queues.email import emails, suppressions
from queues.email.models import EmailMessage, Suppression
from queues.engine.attempts import Attempt
from queues.engine.states import Status

FRESH = 60
"""Mails that are really sent, so that the catcher's inbox has something in it within a minute."""
HISTORY = 240
"""Mails of the last two days, already settled one way or the other."""
VIA = "smtp:mail.shop.example:587"
FAILURES = (
    ("smtp 451 4.7.1", "451 4.7.1 <{0}>: Recipient address rejected: Greylisted, see you in 15 minutes", 9),
    ("timeout", "no answer from mail.shop.example within 30 s", 6),
    ("smtp 550 5.1.1", "550 5.1.1 <{0}>: Recipient address rejected: User unknown in virtual mailbox table", 4),
    ("uncertain", "It may have arrived: the server's answer was lost and no report of it came.", 2),
)
"""Cause, words, and how many dead letters of it."""
NAMES = [
    "Anna",
    "Ben",
    "Chiara",
    "David",
    "Elif",
    "Finn",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kaya",
    "Luca",
    "Mira",
    "Noah",
    "Olga",
    "Paul",
    "Rosa",
    "Sami",
    "Tilda",
    "Yusuf",
]
EVENTS = ("Night of the Strings", "Jazz on the River", "The Lighthouse Tour", "Summer Choir", "Small Hours")
CITIES = ("Hamburg", "Leipzig", "Basel", "Graz")


def load(*, passwords: dict[str, str], now: datetime) -> dict[str, int]:
    """Make what is missing; returns how many of what were made. Safe to repeat."""
    with transaction.atomic():
        return {
            "log-ins": log_ins(passwords),
            "mails of the past": history(now=now),
            "mails to send": fresh(now=now),
            "products": shop.stock(),
            "campaigns": campaigns.load(now=now),
            "pushes of the past": pushes.load(now=now),
            "measures of the past": measures.load(now=now),
        }


def log_ins(passwords: dict[str, str]) -> int:
    """The four people of the demo; a password that is known already is not changed."""
    made = 0
    groups = {"operator": permissions.OPERATOR, "observer": permissions.OBSERVER}
    for name, password in passwords.items():
        staff = name != "customer"
        rights = {"is_staff": staff, "is_superuser": name == "administrator", "email": f"{name}@example.com"}
        user, new = User.objects.get_or_create(username=name, defaults=rights)
        if new or not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        if name in groups:
            user.groups.add(Group.objects.get(name=groups[name]))
        made += new
    return made


def fresh(*, now: datetime) -> int:
    """Receipts and a newsletter, enqueued as an application would."""
    made = emails.enqueue_many([_draft(number) for number in range(FRESH)], now=now)
    return sum(not message.repeated for message in made)


def history(*, now: datetime) -> int:
    """Settled mails; their rows are written as the engine would have left them."""
    chance = random.Random(7)  # noqa: S311 - the same history at every first start
    causes = [(code, words) for code, words, count in FAILURES for _ in range(count)]
    drafts = [_draft(FRESH + number, key="past") for number in range(HISTORY)]
    messages = emails.enqueue_many(drafts, now=now)
    if messages[0].repeated:
        return 0
    attempts: list[Attempt] = []
    for number, message in enumerate(messages):
        at = now - timedelta(hours=48 * (number + chance.random()) / HISTORY, minutes=2)
        message.created_at = message.due_at = at
        if number % 11 == 5 and causes:
            code, words = causes.pop()
            _die(message, code, words.format(message.recipient), attempts)
        else:
            _arrive(message, at + timedelta(seconds=chance.uniform(0.2, 2)), chance.random() < 0.8, attempts)
        message.version = message.runs
    fields = [
        "status",
        "created_at",
        "due_at",
        "attempts",
        "runs",
        "version",
        "last_code",
        "last_words",
        "succeeded_at",
        "dead_at",
        "provider",
        "delivered_at",
        "uncertain_at",
    ]
    EmailMessage.objects.bulk_update(messages, fields, batch_size=100)
    Attempt.objects.bulk_create(attempts)
    for address, cause in (("olga@example.org", "hard_bounce"), ("paul@example.net", "unsubscribe")):
        scope = suppressions.BULK if cause == "unsubscribe" else suppressions.ALL
        suppressions.suppress(address=address, cause=Suppression.Cause(cause), scope=scope, words="demo data")
    return len(messages)


def _draft(number: int, key: str = "fresh") -> emails.Draft:
    name = NAMES[number % len(NAMES)]
    common: dict[str, Any] = {
        "to": [f"{name} <{name.lower()}.{number}@example.com>"],
        "from_email": "Small Hours Tickets <tickets@shop.example>",
        "idempotency_key": f"demo:{key}:{number}",
    }
    if number % 4 == 3:
        city = CITIES[number % len(CITIES)]
        context: dict[str, Any] = {"name": name, "city": city, "events": list(EVENTS[:3])}
        return emails.Draft(**common, template="demo/news", context=context, email_type="newsletter", tags=["news"])
    order = {"number": f"R-{1000 + number}", "tickets": 1 + number % 4, "event": EVENTS[number % len(EVENTS)]}
    return emails.Draft(
        **common, template="demo/receipt", context={"name": name, "order": order}, email_type="receipt", metadata=order
    )


def _arrive(message: EmailMessage, at: datetime, delivered: bool, attempts: list[Attempt]) -> None:
    message.status, message.attempts, message.runs = Status.SUCCEEDED, 1, 1
    message.succeeded_at, message.provider, message.last_words = at, VIA, "250 2.0.0 Ok: queued"
    message.delivered_at = at + timedelta(seconds=4) if delivered else None
    attempts.append(_attempt(message, 1, "ack", at, "", message.last_words))


def _die(message: EmailMessage, code: str, words: str, attempts: list[Attempt]) -> None:
    """By the schedule, or at once where trying again could not help."""
    delays = (0,) if code in ("smtp 550 5.1.1", "uncertain") else (0, 1, 5, 30, 300, 1800)
    at = message.created_at
    for number, delay in enumerate(delays, start=1):
        at += timedelta(seconds=delay)
        outcome = "dead_letter" if number == len(delays) else "retry"
        attempts.append(_attempt(message, number, outcome, at, code, words))
    message.status, message.attempts, message.runs, message.dead_at = Status.DEAD_LETTER, len(delays), len(delays), at
    message.last_code, message.last_words = code, words
    message.uncertain_at = at if code == "uncertain" else None


def _attempt(message: EmailMessage, number: int, outcome: str, at: datetime, code: str, words: str) -> Attempt:
    return Attempt(
        queue=emails.QUEUE,
        item_id=message.pk,
        number=number,
        started_at=at,
        duration_ms=30_000 if code == "timeout" else 38,
        outcome=outcome,
        code=code,
        words=words,
        via=VIA,
        worker="demo:1",
    )
