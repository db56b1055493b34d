"""Whose mail is whose: the row's idempotency key is `api:<user id>:<key>`, so a key of one user is nobody else's."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any, cast

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q

from queues.desk.api.problems import Problem
from queues.email.models import EmailMessage

KEY = re.compile(r"(?!~)[!-~]{1,200}")
UNNAMED = "~"
"""Begins the key of a mail that was posted without one."""

type User = AbstractBaseUser | AnonymousUser


def namespace(user: User) -> str:
    """What the keys of this user's mails begin with."""
    return f"api:{user.pk}:"


def key_for(*, user: User, given: str | None) -> str:
    """The row's key for a request. Raises Problem if the header is not one a key can be."""
    if given is None:
        return f"{namespace(user)}{UNNAMED}{uuid.uuid4().hex}"
    if not KEY.fullmatch(given):
        raise Problem(
            "idempotency_key_invalid", "1 to 200 printable ASCII characters without spaces, not beginning with ~."
        )
    return namespace(user) + given


def shown_key(row_key: str) -> str:
    """The key as its caller gave it, "" if none was given."""
    if row_key.startswith("auto:"):
        return ""
    match = re.fullmatch(r"api:\d+:(.*)", row_key)
    key = match[1] if match else row_key
    return "" if match and key.startswith(UNNAMED) else key


def readable(user: Any) -> Q:
    """Which mails the user may see: all with `queues.view_emailmessage`, else those it posted."""
    if user.has_perm("queues.view_emailmessage"):
        return Q()
    return Q(idempotency_key__startswith=namespace(user))


def by_key(*, user: Any, key: str) -> EmailMessage | None:
    """The mail the user posted with that key; with `queues.view_emailmessage` also one that has it as its whole key."""
    keys = [namespace(user) + key] + ([key] if user.has_perm("queues.view_emailmessage") else [])
    mails = cast(Iterable[EmailMessage], EmailMessage.objects.filter(idempotency_key__in=keys))
    found = {mail.idempotency_key: mail for mail in mails}
    return next((found[each] for each in keys if each in found), None)
