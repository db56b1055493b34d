"""`Selection`: which items staff mean, by their ids or by a filter; the same for pages, commands and the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from queues.desk import faces, filters, grammar
from queues.engine.item import QueueItem
from queues.engine.states import WAITING, Status

ID_MAX = filters.ID_MAX
TEXT_MAX = grammar.TEXT_MAX
WAITING_WORD = filters.WAITING_WORD
NEVER_PURGED = (WAITING_WORD, *WAITING, Status.PROCESSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """`ids`, or all items that every other field given fits. Empty means everything that was not purged."""

    ids: tuple[int, ...] = ()
    status: str = ""
    """A state, or `waiting` for pending and retrying."""
    kind: str = ""
    code: str = ""
    search: str = ""
    """In the language of `filters`; text without a field is one exact search."""
    purged: bool = False
    """Only what was purged, instead of only what was not."""

    def apply[Item: QueueItem](
        self, items: QuerySet[Item], *, now: datetime | None = None, hinted: bool = False
    ) -> QuerySet[Item]:
        """The items meant, among `items`, with ages measured at `now`; `hinted` for a list.

        Raises `grammar.Mistake`.
        """
        if self.ids:
            return items.filter(pk__in=[pk for pk in self.ids if 0 < pk <= ID_MAX])
        if not all(map(_storable, (self.kind, self.code))):
            return items.none()
        # What waits or runs cannot have been purged: not asking that leaves its count to an index.
        if self.purged or self.status not in NEVER_PURGED:
            items = items.filter(hidden_at__isnull=not self.purged)
        if self.status == WAITING_WORD:
            items = items.filter(status__in=WAITING)
        elif self.status:
            items = items.filter(status=self.status) if self.status in Status.values else items.none()
        if self.kind:
            items = items.filter(kind=self.kind)
        if self.code:
            items = items.filter(last_code=self.code)
        return self._searched(items, now or timezone.now(), hinted) if self.search else items

    def check(self, model: type[QueueItem]) -> None:
        """Raise `grammar.Mistake` if the filter means nothing to the queue of this model."""
        self.apply(model._default_manager.none())

    def _searched[Item: QueueItem](self, items: QuerySet[Item], now: datetime, hinted: bool) -> QuerySet[Item]:
        given = filters.parse(self.search, now=now, also=faces.for_model(items.model).fields)
        if not given.search and not given.words:
            return items.none()  # who searched for nothing did not mean everything
        items = items.filter(given.rows(now=now, hinted=hinted))
        if not given.search:
            return items
        found = find(items.model, given.search)
        return items.none() if found is None else items.filter(found)

    @property
    def words(self) -> str:
        """In words, for the page and the ledger."""
        if self.ids:
            return f"{len(self.ids)} chosen: {', '.join(map(str, self.ids[:20]))}{' …' if len(self.ids) > 20 else ''}"
        parts = [("state", self.status), ("type", self.kind), ("cause", self.code), ("search", self.search)]
        given = [f"{label} {str(value)!r}" for label, value in parts if value]
        return f"all{' purged' if self.purged else ''}" + (f" with {', '.join(given)}" if given else "")


def _storable(text: str) -> bool:
    """Whether a database could hold the text at all: no NUL, no halves of characters."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def find(model: type[QueueItem], text: str) -> Q | None:
    """The exact search by indexed columns; None if the text can name no item."""
    text = text.strip()
    if not text or len(text) > TEXT_MAX or not text.isprintable():
        return None
    by_key = Q(idempotency_key=text)
    if text.isascii() and text.isdigit() and int(text) <= ID_MAX:
        by_key |= Q(pk=int(text))
    own = faces.for_model(model).find(text)
    return by_key if own is None else by_key | own
