"""What staff do about alerts: acknowledge one, silence a rule for a time, end a silence; each with a ledger entry."""

from __future__ import annotations

from datetime import datetime

from django.db import router, transaction

from queues.desk import ledger
from queues.desk.operations import Actor, needed
from queues.monitor import alerts
from queues.monitor.models import Alert, Silence

HANDLE = "handle"


def acknowledge(*, alert_id: int, actor: Actor, reason: str, now: datetime) -> bool:
    """I look after it: no more repeats. False if it does not fire. Raises PermissionDenied, ReasonMissing."""
    actor.require(HANDLE, Alert)
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(Alert)):
        done = alerts.acknowledge(alert_id=alert_id, user=actor.user, now=now)
        if done:
            _record("acknowledge alert", str(Alert.objects.get(pk=alert_id)), actor=actor, reason=reason, now=now)
    return done


def silence(*, rule: str, scope: str, until: datetime, actor: Actor, reason: str, now: datetime) -> Silence:
    """Tell nothing of it until then. Raises PermissionDenied, ReasonMissing."""
    actor.require(HANDLE, Alert)
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(Silence)):
        row = alerts.silence(rule=rule, scope=scope, reason=reason, until=until, user=actor.user, now=now)
        plan = f"{row}, until {until:%Y-%m-%d %H:%M} UTC"
        _record("silence alerts", plan, actor=actor, reason=reason, now=now)
    return row


def end_silence(*, silence_id: int, actor: Actor, reason: str, now: datetime) -> bool:
    """Tell again. False if it is over. Raises PermissionDenied, ReasonMissing."""
    actor.require(HANDLE, Alert)
    reason = needed(reason)
    with transaction.atomic(using=router.db_for_write(Silence)):
        done = alerts.end_silence(silence_id=silence_id, now=now)
        if done:
            _record("end silence", str(Silence.objects.get(pk=silence_id)), actor=actor, reason=reason, now=now)
    return done


def _record(act: str, plan: str, *, actor: Actor, reason: str, now: datetime) -> None:
    ledger.record(
        act=act,
        actor=actor.user,
        actor_name=actor.name,
        plan=plan,
        reason=reason,
        request_id=actor.request_id,
        now=now,
    )
