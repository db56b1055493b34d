"""`Breaker`: after five failures in a row a transport is left alone for a minute, then tried with one probe.

closed ── 5 failures in a row ──▶ open (60 s) ──▶ one probe ── succeeded ──▶ closed
                                    ▲                └── failed ──┘
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Case, F, Q, Value, When

THRESHOLD = 5
OPEN_FOR = timedelta(seconds=60)


class Breaker(models.Model):
    """The state of one transport, shared by all workers. No row means closed."""

    name = models.CharField(max_length=200, unique=True)
    failures = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True)
    last_words = models.TextField(default="")
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Reading:
    """The breakers that are not quietly closed, as they were a moment ago."""

    open_until: dict[str, datetime]
    half_open: frozenset[str]
    """Open until a moment ago: one worker may probe (`probing`)."""
    shaken: frozenset[str]
    """Failed lately, and a success is worth writing down."""


def read(*, names: Iterable[str], now: datetime) -> Reading:
    """The breakers of these transports, in one query."""
    rows = Breaker.objects.filter(name__in=list(names), failures__gt=0)
    open_until, half_open, shaken = {}, set(), set()
    for name, failures, until in rows.values_list("name", "failures", "open_until"):
        shaken.add(name)
        if until is not None and until > now:
            open_until[name] = until
        elif failures >= THRESHOLD:
            half_open.add(name)
    return Reading(open_until, frozenset(half_open), frozenset(shaken))


def probing(*, name: str, now: datetime) -> bool:
    """Whether this worker may probe a breaker whose time is up; of many, one wins and the others wait on."""
    over = Q(open_until__lte=now) | Q(open_until__isnull=True)
    won = Breaker.objects.filter(over, name=name, failures__gte=THRESHOLD)
    return bool(won.update(open_until=now + OPEN_FOR, changed_at=now))


def failed(*, name: str, words: str, now: datetime) -> datetime | None:
    """Count a failure of the transport itself; returns until when the breaker is open now, or None."""
    Breaker.objects.bulk_create([Breaker(name=name, changed_at=now)], ignore_conflicts=True)
    opens = When(failures__gte=THRESHOLD - 1, then=Value(now + OPEN_FOR))
    Breaker.objects.filter(name=name).update(
        failures=F("failures") + 1,
        open_until=Case(opens, default=F("open_until"), output_field=models.DateTimeField()),
        last_words=words[:500],
        changed_at=now,
    )
    return Breaker.objects.filter(name=name, open_until__gt=now).values_list("open_until", flat=True).first()


def succeeded(*, name: str, now: datetime) -> None:
    """The transport works: closed. Call it only after a failure was seen, so that the happy path writes nothing."""
    Breaker.objects.filter(name=name).update(failures=0, open_until=None, changed_at=now)
