"""Which handlers have run for which events: looked up for a whole batch, noted with each effect."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce, NullIf

from queues.engine.item import QueueItem
from queues.webhooks.handlers import Handler
from queues.webhooks.models import HandlerRun, WebhookEvent


@dataclass(frozen=True, slots=True)
class Past:
    """What the database knew when the batch was claimed. It holds while the leases do: an object is one lane."""

    ran: dict[tuple[str, str], set[str]]
    """(provider, event) → handlers that ran for it."""
    latest: dict[int, datetime]
    """Row → as of when its object was as handlers saw it last, for another event."""

    def of(self, item: WebhookEvent) -> set[str]:
        """The handlers that ran for this event, or for its thin or snapshot twin."""
        return self.ran.get((item.provider, item.effect_id), set())

    def behind(self, item: WebhookEvent) -> bool:
        """Whether another event of the same object, as new or newer, was handled before."""
        latest = self.latest.get(item.pk)
        return latest is not None and latest >= item.occurred_at


def load(items: Sequence[QueueItem], now: datetime) -> Past:
    """Two queries for a batch."""
    events = cast(Sequence[WebhookEvent], items)
    ran: dict[tuple[str, str], set[str]] = defaultdict(set)
    noted = HandlerRun.objects.filter(event_id__in={event.effect_id for event in events})
    for provider, event_id, handler in noted.values_list("provider", "event_id", "handler"):
        ran[provider, event_id].add(handler)
    laned = [event.pk for event in events if event.lane]
    return Past(dict(ran), {pk: at for pk, at in _latest(laned) if at is not None} if laned else {})


def note(handler: Handler, item: WebhookEvent, *, seen_at: datetime, now: datetime) -> None:
    """The handler's effect, in the transaction of the effect. Raises IntegrityError if it is there already."""
    HandlerRun.objects.bulk_create(
        [
            HandlerRun(
                provider=item.provider,
                event_id=item.effect_id,
                handler=handler.name,
                version=handler.version,
                item_id=item.pk,
                lane=item.lane or "",
                state_at=seen_at,
                ran_at=now,
            )
        ]
    )


def _latest(ids: list[int]) -> Iterator[tuple[int, datetime | None]]:
    effect_id = Coalesce(NullIf(OuterRef("snapshot_event"), Value("")), OuterRef("event_id"))
    others = HandlerRun.objects.filter(lane=OuterRef("lane")).exclude(event_id=effect_id).order_by("-state_at")
    rows = WebhookEvent.objects.filter(pk__in=ids).annotate(latest=Subquery(others.values("state_at")[:1]))
    yield from rows.values_list("pk", "latest")
