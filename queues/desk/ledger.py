"""The ledger: an append-only, HMAC-chained record of every act of staff.

Each entry's digest is an HMAC over the digest before it and the entry's own canonical JSON, so that nothing in the
middle can be changed, taken out or put in unseen by someone without `LEDGER_KEY`. That may hold several keys, newest
first, so that it can be replaced: the first signs, all verify. The database refuses UPDATE and
DELETE (triggers of migration 0003; one exception: `actor` becomes NULL when the account is deleted, its name stays).
What a chain cannot show by itself is a missing end: every digest goes to the log, and `verify(head=...)` looks for it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import connections, models, router, transaction
from django.db.models import Q

log = structlog.get_logger(__name__)

ITEMS_MAX = 1000
"""Ids an entry lists; `item_count` is the whole number."""
TEXT_MAX = 2000
BEGINNING = "0" * 64
"""Stands for the digest before the first entry."""
CHAIN_LOCK = 0x5245_4452_4956_45
"""Key of PostgreSQL's advisory lock that writers of the chain queue at (the bytes of "REDRIVE")."""


class LedgerEntry(models.Model):
    """One act: who did what to which items, as planned, why, and what came of it."""

    at = models.DateTimeField()
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField("who", max_length=200)
    """Stays when the account goes; `shell:<name>` for a command's user."""
    act = models.CharField(max_length=50)
    queue = models.CharField(max_length=50, blank=True, default="")
    items = models.JSONField(default=list)
    item_count = models.PositiveIntegerField("items touched", default=0)
    plan = models.TextField(blank=True, default="")
    """What was asked for: the filter or the selection, in words."""
    reason = models.TextField()
    result = models.JSONField(default=dict)
    request_id = models.CharField(max_length=100, blank=True, default="")
    previous = models.CharField(max_length=64, unique=True)
    """The digest before; unique, so that the chain cannot fork."""
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.act} by {self.actor_name}"


class LedgerItem(models.Model):
    """Finds the entries of one item by (queue, item_id); the proof is the entry's own list."""

    entry = models.ForeignKey(LedgerEntry, on_delete=models.PROTECT, related_name="mentions")
    queue = models.CharField(max_length=50)
    item_id = models.BigIntegerField()
    at = models.DateTimeField(null=True)
    """When the act touched it: an operation does so long after its entry."""

    class Meta:
        indexes = [
            models.Index(fields=["queue", "item_id"], name="ledgeritem_item"),
            models.Index(fields=["at"], condition=Q(at__isnull=False), name="ledgeritem_at"),
        ]

    def __str__(self) -> str:
        return f"{self.queue} {self.item_id}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: `broken_at` is the id of the first entry that does not fit, `why` the reason."""

    entries: int
    head: str
    broken_at: int | None = None
    why: str = ""

    @property
    def whole(self) -> bool:
        """Whether nothing was changed."""
        return not self.why


def record(
    *,
    act: str,
    actor: AbstractBaseUser | None,
    actor_name: str,
    reason: str,
    now: datetime,
    queue: str = "",
    items: Sequence[int] = (),
    plan: str = "",
    result: Mapping[str, Any] | None = None,
    request_id: str = "",
    count: int | None = None,
) -> LedgerEntry:
    """Append an entry in the caller's transaction, which must be the act's own: both happen, or neither does.

    `count` is the number of items where they are mentioned one by one later (`mention`). Call it last in the
    transaction: writers of the chain wait for each other until they commit. Raises TransactionManagementError outside
    a transaction.
    """
    using = router.db_for_write(LedgerEntry)
    if not connections[using].in_atomic_block:
        raise transaction.TransactionManagementError("a ledger entry is written in the transaction of its act")
    entry = LedgerEntry(
        at=now,
        actor_id=actor.pk if actor is not None else None,
        actor_name=_clean(actor_name, 200),
        act=act,
        queue=queue,
        items=[int(item) for item in items[:ITEMS_MAX]],
        item_count=len(items) if count is None else count,
        plan=_clean(plan, TEXT_MAX),
        reason=_clean(reason, TEXT_MAX),
        result=dict(result or {}),
        request_id=_clean(request_id, 100),
    )
    _wait_for_turn(using)
    last = LedgerEntry.objects.using(using).order_by("-id").values_list("digest", flat=True).first()
    entry.previous = last or BEGINNING
    entry.digest = digest(entry)
    entry.save(using=using, force_insert=True)
    LedgerItem.objects.using(using).bulk_create(
        LedgerItem(entry=entry, queue=queue, item_id=item, at=now) for item in entry.items
    )
    log.info("ledger.recorded", entry=entry.pk, act=act, queue=queue, count=entry.item_count, digest=entry.digest)
    return entry


def mention(*, entry_id: int, queue: str, items: Iterable[int], now: datetime) -> None:
    """Make an entry found by further items: an operation touches them after the entry of its start was written."""
    LedgerItem.objects.bulk_create(LedgerItem(entry_id=entry_id, queue=queue, item_id=item, at=now) for item in items)


def digest(entry: LedgerEntry, *, key: str | None = None) -> str:
    """The HMAC-SHA-256 of the entry behind its predecessor, in hexadecimal; by the newest key, if none is given."""
    said = {
        "previous": entry.previous,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor_name,
        "act": entry.act,
        "queue": entry.queue,
        "items": entry.items,
        "item_count": entry.item_count,
        "plan": entry.plan,
        "reason": entry.reason,
        "result": entry.result,
        "request_id": entry.request_id,
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new((signing_keys()[0] if key is None else key).encode(), text.encode(), hashlib.sha256).hexdigest()


def signing_keys() -> list[str]:
    """The keys of `LEDGER_KEY`, newest first: that one signs, all verify."""
    return [key.strip() for key in settings.LEDGER_KEY.split(",") if key.strip()] or [""]


def verify(*, head: str = "") -> Verdict:
    """Walk the chain from its beginning. `head` is a digest noted earlier (the log has them), which must be in it."""
    previous, count, seen_head, left = BEGINNING, 0, not head, signing_keys()
    for entry in _entries():
        count += 1
        if entry.previous != previous:
            return Verdict(count, previous, entry.pk, "the entry before it was changed, taken out or put in")
        fits = (key for key in reversed(left) if hmac.compare_digest(digest(entry, key=key), entry.digest))
        if (signed := next(fits, None)) is None:
            return Verdict(count, previous, entry.pk, "its own words were changed (or its key is not in LEDGER_KEY)")
        # Once a newer key has signed, an older one that came into other hands forges nothing behind it.
        left = left[: left.index(signed) + 1]
        previous = entry.digest
        seen_head = seen_head or previous == head
    if not seen_head:
        return Verdict(count, previous, None, "the digest noted earlier is not in it: its end was cut off")
    return Verdict(count, previous)


def note_head() -> tuple[int, str]:
    """Write to the log how many entries there are and the last one's digest, for `verify(head=…)`; returns both."""
    head = LedgerEntry.objects.order_by("-id").values_list("digest", flat=True).first() or BEGINNING
    count = LedgerEntry.objects.count()
    log.info("ledger.head", count=count, digest=head)
    return count, head


def of_item(*, queue: str, item_id: int, limit: int = 100) -> list[LedgerEntry]:
    """The newest entries that touched one item."""
    mentioned = LedgerItem.objects.filter(queue=queue, item_id=item_id).order_by("-id").values("entry_id")[:limit]
    return list(LedgerEntry.objects.filter(pk__in=list(mentioned.values_list("entry_id", flat=True))))


def _entries() -> Iterable[LedgerEntry]:
    return LedgerEntry.objects.order_by("id").iterator(chunk_size=1000)


def _wait_for_turn(using: str) -> None:
    # Held until the caller commits. SQLite needs none: its transactions begin IMMEDIATE, so only one writes at a time.
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHAIN_LOCK])


def _clean(text: str, limit: int) -> str:
    """Without what a database cannot store: NUL and halves of characters."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")[:limit]
