"""Tokens that all workers share (`Credential`): a provider sees one signature an hour, not one a send.

No lock is held while a token is made. Who makes one offers it by compare-and-set on the row it read; of several at
once one wins, and the others throw theirs away unused.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from notifications.models import Credential


class MakingFailed(Exception):
    """Base of what `make` raises when the provider gives no token."""


class TooSoon(Exception):
    """The provider refuses a token that is younger than a new one may be made."""


@dataclass(frozen=True, slots=True)
class Token:
    """One that can be sent."""

    text: str
    signed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Kind:
    """How a sort of token lives."""

    renew_before: timedelta
    """A new one is made when the old one has only this long to live."""
    at_least: timedelta
    """Even a token that was refused is kept this long."""


FAILED_SECONDS = 5.0
"""Whoever waited while making one failed is told so, instead of waiting for a failure of their own."""

_kept: dict[str, Token] = {}
_failed: dict[str, tuple[float, Exception]] = {}
_locks: collections.defaultdict[str, threading.Lock] = collections.defaultdict(threading.Lock)


def get(name: str, kind: Kind, make: Callable[[datetime], Token], *, now: datetime, refused: str = "") -> Token:
    """The token of that name, from this process, the table, or made anew.

    `refused` is one the provider did not accept. Raises TooSoon if that one cannot be replaced yet, and what `make`
    raises.
    """
    kept = _kept.get(name)
    if kept is not None and _usable(kept, kind, now, refused):
        return kept
    with _locks[name]:  # of this process's threads one asks the table
        kept = _kept.get(name)
        if kept is not None and _usable(kept, kind, now, refused):
            return kept
        failed = _failed.get(name)
        if failed is not None and time.monotonic() < failed[0]:
            raise failed[1]
        try:
            _kept[name] = _shared(name, kind, make, now, refused)
        except MakingFailed as error:
            _failed[name] = (time.monotonic() + FAILED_SECONDS, error)
            raise
        _failed.pop(name, None)
        return _kept[name]


def forget() -> None:
    """Read the table again at the next use."""
    _kept.clear()
    _failed.clear()


def _usable(token: Token, kind: Kind, now: datetime, refused: str) -> bool:
    return token.text != refused and now < token.expires_at - kind.renew_before


def _shared(name: str, kind: Kind, make: Callable[[datetime], Token], now: datetime, refused: str) -> Token:
    row = Credential.objects.filter(name=name).first()
    if row is not None:
        stored = Token(row.token, row.signed_at, row.expires_at)
        if _usable(stored, kind, now, refused):
            return stored
        if stored.text == refused and now < stored.signed_at + kind.at_least:
            raise TooSoon(f"It was made {(now - stored.signed_at).total_seconds():.0f} s ago.")
    made = make(now)
    new = {"token": made.text, "signed_at": made.signed_at, "expires_at": made.expires_at}
    with transaction.atomic():
        if row is None:
            Credential.objects.bulk_create([Credential(name=name, **new)], ignore_conflicts=True)
        else:
            Credential.objects.filter(pk=row.pk, token=row.token).update(**new)
        winner = Credential.objects.get(name=name)
    return Token(winner.token, winner.signed_at, winner.expires_at)
