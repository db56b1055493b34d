"""The people of the desk's tests, logged in, and mails in any state."""

from __future__ import annotations

import itertools
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from queues.email.models import EmailMessage
from queues.engine.states import Status

_numbers = itertools.count(1)


def person(kind: str) -> User:
    """An account: `administrator`, `operator`, `observer` or `customer`."""
    user = User.objects.create_user(kind, f"{kind}@example.com", "a long password", is_staff=kind != "customer")
    if kind == "administrator":
        user.is_superuser = True
        user.save()
    if kind in ("operator", "observer"):
        user.groups.add(Group.objects.get(name=kind.capitalize()))
    return user


def client_of(kind: str) -> Client:
    """A browser of that person; `anonymous` is logged in as nobody. CSRF tokens are not asked of it."""
    client = Client()
    if kind != "anonymous":
        client.force_login(User.objects.filter(username=kind).first() or person(kind))
    return client


def mail(status: str = Status.DEAD_LETTER, *, now: datetime | None = None, **fields: Any) -> EmailMessage:
    """A mail in that state, as the engine would have left it."""
    now = now or timezone.now()
    number = next(_numbers)
    recipient = fields.pop("recipient", f"anna{number}@example.com")
    state: dict[str, Any] = {
        Status.PENDING: {},
        Status.RETRYING: {"attempts": 2, "runs": 2, "due_at": now + timedelta(minutes=5)},
        Status.PROCESSING: {"lease_token": uuid.uuid4(), "leased_until": now + timedelta(seconds=30), "leased_by": "w"},
        Status.SUCCEEDED: {"succeeded_at": now, "attempts": 1, "runs": 1},
        Status.CANCELLED: {"cancelled_at": now, "last_code": "suppressed"},
        Status.DEAD_LETTER: {"dead_at": now, "attempts": 6, "runs": 6, "last_code": "smtp 451", "last_words": "451 no"},
    }[Status(status)]
    basics: dict[str, Any] = {
        "idempotency_key": f"test:{number}",
        "kind": "receipt",
        "from_email": "shop@example.com",
        "to": [recipient],
        "recipients": [recipient],
        "recipient": recipient,
        "subject": f"Receipt {number}",
        "text": "thank you",
        "message_id": f"<{number}@example.com>",
    }
    return EmailMessage.objects.create(status=status, **(basics | state | fields))
