"""Problems: staff say that one is over, with the reason in the ledger."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from payments import refunds
from payments.models import Problem
from queues.desk import ledger
from queues.desk.operations import Actor, ReasonMissing


def resolve(*, problem: Problem, actor: Actor, reason: str, now: datetime) -> bool:
    """Close it without a refund; False if it was closed before. Raises PermissionDenied or ReasonMissing."""
    actor.require("resolve", Problem)
    if not reason.strip():
        raise ReasonMissing("closing a problem needs a reason")
    with transaction.atomic():
        still = Problem.objects.filter(pk=problem.pk, resolved_at__isnull=True)
        if not still.update(resolved_at=now, resolution=f"closed by {actor.name}"[:500]):
            return False
        ledger.record(
            act="resolve_problem",
            actor=actor.user,
            actor_name=actor.name,
            queue=refunds.QUEUE,
            items=[problem.order_id] if problem.order_id else [],
            plan=f"{problem} ({problem.key})",
            reason=reason.strip(),
            result={"problem": problem.pk},
            request_id=actor.request_id,
            now=now,
        )
    return True
