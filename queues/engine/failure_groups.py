"""`FailureGroup`: one cause of failures and what staff made of it.

open ──▶ acknowledged ──▶ resolved ──(seen again)──▶ open, regressed
  └────▶ ignored until a time ──(seen after it)──▶ open

How many items a group has is never stored: it is counted from the items' own index. So a failure writes to its group's
row only when that says something new, and nobody waits for anybody there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, models, router, transaction
from django.db.models import Q

from queues.engine import fingerprints

log = structlog.get_logger(__name__)

WORDS_KEPT = 500
SEEN_EVERY = timedelta(minutes=1)
"""How old `last_seen_at` may be before a failure writes it anew."""


class FailureGroup(models.Model):
    """All failures of one queue with one fingerprint."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        RESOLVED = "resolved", "Resolved"
        IGNORED = "ignored", "Ignored"

    queue = models.CharField(max_length=50)
    fingerprint = models.CharField(max_length=fingerprints.LENGTH)
    code = models.CharField(max_length=100)
    words = models.TextField(default="", blank=True)
    """What the first of them said."""
    kind = models.CharField("type", max_length=100, default="", blank=True)
    """The type of the first of them."""
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    """To the minute."""
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    changed_at = models.DateTimeField()
    """When its state was last set."""
    ignored_until = models.DateTimeField(null=True, blank=True)
    regressed_at = models.DateTimeField(null=True, blank=True)
    """When it was seen again after it had been resolved; None while that never happened."""
    note = models.TextField(default="", blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = "failure group"
        ordering = ("-last_seen_at", "-id")
        constraints = [models.UniqueConstraint(fields=["queue", "fingerprint"], name="failuregroup_one_a_cause")]
        indexes = [models.Index(fields=["-last_seen_at", "-id"], name="failuregroup_seen")]

    def __str__(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One item's failure, as its settlement knows it."""

    fingerprint: str
    code: str
    words: str
    kind: str
    at: datetime


def seen(queue: str, failures: Iterable[Failure]) -> None:
    """Make the groups that are new, and say of the others what is new. Outside the settlement's transaction.

    Nothing is raised: a group that could not be written is written with its next failure.
    """
    latest = {failure.fingerprint: failure for failure in failures}
    if not latest:
        return
    try:
        with transaction.atomic(using=router.db_for_write(FailureGroup)):
            _note(queue, latest)
    except DatabaseError as error:
        log.warning("group.not_written", queue=queue, words=str(error).split("\n")[0])


def _note(queue: str, latest: dict[str, Failure]) -> None:
    rows = FailureGroup.objects.filter(queue=queue, fingerprint__in=latest)
    held = {
        fingerprint: (pk, state, seen_at)
        for pk, fingerprint, state, seen_at in rows.values_list("pk", "fingerprint", "state", "last_seen_at")
    }
    fresh = [_new(queue, failure) for failure in latest.values() if failure.fingerprint not in held]
    if fresh:
        FailureGroup.objects.bulk_create(fresh, ignore_conflicts=True)  # another worker may have been first
    for fingerprint, (pk, state, seen_at) in sorted(held.items(), key=lambda pair: pair[1][0]):
        at = latest[fingerprint].at
        row = FailureGroup.objects.filter(pk=pk)
        if at - seen_at >= SEEN_EVERY:
            row.filter(last_seen_at__lt=at).update(last_seen_at=at)
        if state == FailureGroup.State.RESOLVED:
            again = row.filter(state=FailureGroup.State.RESOLVED, changed_at__lt=at)
            if again.update(state=FailureGroup.State.OPEN, changed_at=at, regressed_at=at, last_seen_at=at):
                log.warning("group.regressed", queue=queue, fingerprint=fingerprint, code=latest[fingerprint].code)
        elif state == FailureGroup.State.IGNORED:
            over = row.filter(Q(ignored_until__lte=at), state=FailureGroup.State.IGNORED)
            over.update(state=FailureGroup.State.OPEN, changed_at=at, ignored_until=None)


def _new(queue: str, failure: Failure) -> FailureGroup:
    return FailureGroup(
        queue=queue,
        fingerprint=failure.fingerprint,
        code=failure.code[:100],
        words=failure.words[:WORDS_KEPT],
        kind=failure.kind,
        first_seen_at=failure.at,
        last_seen_at=failure.at,
        changed_at=failure.at,
    )
