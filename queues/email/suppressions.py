"""Suppressions: addresses we must not send to, which mail each of them stops, and how one comes to be.

cause        scope                      stops
hard_bounce  all                        everything: the address does not work
manual       all, bulk or a type        what staff said
complaint    all                        everything but `essential` types (a password reset was asked for)
unsubscribe  bulk or a type             what the recipient does not want any more
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import batched

from django.contrib.auth.models import AbstractBaseUser

from queues.email import addresses as address_forms
from queues.email.models import Suppression
from queues.email.types import EmailType

ALL = "all"
BULK = "bulk"

WORDS_MAX = 2000
QUERY_MAX = 10_000
"""Addresses of one query; SQLite takes 32,766 parameters."""

STRONG = (Suppression.Cause.HARD_BOUNCE.value, Suppression.Cause.MANUAL.value)
"""Causes that stop essential mail too; one of them replaces a weaker cause in the same scope."""


@dataclass(frozen=True, slots=True)
class Block:
    """One suppression in force: `scope` is `all`, `bulk` or an e-mail type's name; `cause` a `Suppression.Cause`."""

    scope: str
    cause: str

    def __str__(self) -> str:
        return f"{self.cause} ({self.scope})"


def blocked(addresses: Collection[str], *, now: datetime) -> dict[str, list[Block]]:
    """The suppressions in force at `now` for these normalized addresses (`addresses.normalize`), by address.

    One query for a whole batch; addresses that nothing blocks are not in the result. `applies` says which mail a
    block stops.
    """
    found: dict[str, list[Block]] = defaultdict(list)
    for part in batched(sorted(set(addresses)), QUERY_MAX, strict=False):
        rows = Suppression.objects.filter(address__in=part, lifted_at__isnull=True)
        for address, scope, cause in rows.values_list("address", "scope", "cause"):
            found[address].append(Block(scope=scope, cause=cause))
    return dict(found)


def applies(block: Block, email_type: EmailType) -> bool:
    """Whether the block stops a mail of this type."""
    if block.scope == ALL:
        return block.cause in STRONG or not email_type.essential
    if block.scope == BULK:
        return email_type.bulk
    return block.scope == email_type.name


def suppress(
    *,
    address: str,
    cause: str,
    scope: str = ALL,
    words: str = "",
    message_id: int | None = None,
    by: AbstractBaseUser | None = None,
) -> None:
    """Stop mail to the address from now on; nothing happens if that scope of it is stopped already.

    `cause` is a `Suppression.Cause`, `words` what the other side or staff said, `message_id` the id of the mail that
    caused it, `by` the member of staff. Safe to repeat, at the same time too, and inside any transaction: a conflict
    raises nothing. A hard bounce or staff's word replaces a weaker cause. Raises ValueError if it is no address.
    """
    known = Suppression.Cause(cause).value
    row = Suppression(
        address=address_forms.normalize(address),
        scope=scope or ALL,
        cause=known,
        words=words[:WORDS_MAX].replace("\x00", "\N{REPLACEMENT CHARACTER}"),
        message_id=message_id,
        created_by_id=by.pk if by is not None else None,
    )
    Suppression.objects.bulk_create([row], ignore_conflicts=True)
    if known in STRONG:
        weaker = Suppression.objects.filter(address=row.address, scope=row.scope, lifted_at__isnull=True)
        weaker.exclude(cause__in=STRONG).update(
            cause=known, words=row.words, message_id=row.message_id, created_by_id=row.created_by_id
        )
