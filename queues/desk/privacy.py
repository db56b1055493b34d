"""Who sees what an item carries: asked for by a POST, recorded, and then good for a quarter of an hour for that person.

Without it bodies are hidden and personal data in payloads is masked (`masking`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db import router, transaction
from django.http import HttpRequest

from queues.desk import ledger, permissions
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.engine import registry
from queues.engine.item import QueueItem

SALT = "queues.desk.privacy"
GOOD_FOR = timedelta(minutes=15)
PARAMETER = "seen"
REASON = "looked at what it carries"


def unmask(*, queue: str, item_id: int, actor: Actor, now: datetime, reason: str = "") -> str:
    """Record that the actor looks at this item's contents; returns the proof of it. Raises PermissionDenied."""
    model = registry.get(queue).model
    actor.require("view", model)
    actor.require("view_payload", model)
    with transaction.atomic(using=router.db_for_write(LedgerEntry)):
        ledger.record(
            act="view payload",
            actor=actor.user,
            actor_name=actor.name,
            queue=queue,
            items=[item_id],
            plan=f"contents of {item_id}",
            reason=reason.strip() or REASON,
            request_id=actor.request_id,
            now=now,
        )
    return signing.dumps(_subject(queue, item_id, actor.user.pk if actor.user is not None else None), salt=SALT)


def granted(request: HttpRequest, *, model: type[QueueItem], item_id: int) -> bool:
    """Whether this request carries the proof that its person asked to see this very item, and may see it still."""
    token = request.GET.get(PARAMETER, "") or request.POST.get(PARAMETER, "")
    if not token or not permissions.may(request.user, "view_payload", model):
        return False
    try:
        subject: Any = signing.loads(token, salt=SALT, max_age=GOOD_FOR)
    except signing.BadSignature:
        return False
    return bool(subject == _subject(registry.for_model(model).name, item_id, request.user.pk))


def _subject(queue: str, item_id: int, user_id: int | None) -> list[Any]:
    return [queue, item_id, user_id]
