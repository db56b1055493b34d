"""The life of alerts: one open row for each rule and scope, told once, repeated after an hour, told when it is over.

                 held for `Rule.holds`           staff
    found ▶ pending ───────────────▶ firing ───────────────▶ acknowledged      told: firing; every hour: still firing
               │ not found any more     │ not found for `Rule.clears` │        told: recovered, after so long
               └────────▶ resolved ◀────┴─────────────────────────────┘        silenced: all of this, and nothing told

Each step is one compare-and-set UPDATE in the transaction that also writes its messages (`outbox`): of two evaluations
at once one takes the step, and a crash loses neither the step nor the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import Q

from queues.engine import log
from queues.monitor import incidents
from queues.monitor.models import Alert, AlertDelivery, Severity, Silence
from queues.monitor.rules import Finding, Rule

logger = log.get(__name__)

REPEAT = timedelta(hours=1)
"""No second message about the same rule and scope within that time, also if it was over in between."""
OPEN = (Alert.State.PENDING, Alert.State.FIRING, Alert.State.ACKNOWLEDGED)
WORDS_MAX = 1000
SCOPE_MAX = 100
SCOPES_MAX = 50
"""Of one rule: more are one alert about many."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to an alert that somebody should be told."""

    alert: Alert
    kind: AlertDelivery.Kind


def apply(rule: Rule, findings: Sequence[Finding], *, now: datetime) -> list[Step]:
    """Bring the rule's alerts to what was found. In the caller's transaction, who also writes the messages."""
    found = {finding.scope[:SCOPE_MAX]: finding for finding in _bounded(findings)}
    rows = {row.scope: row for row in Alert.objects.filter(rule=rule.name, state__in=OPEN)}
    silences = _silences(rule, now=now) if found or rows else []
    steps = [_found(rule, finding, rows.get(scope), silences, now=now) for scope, finding in sorted(found.items())]
    steps += [_missed(rule, row, now=now) for scope, row in sorted(rows.items()) if scope not in found]
    return [step for step in steps if step is not None]


def tell(rule: Rule, findings: Sequence[Finding], *, now: datetime) -> None:
    """For who does the work that a rule is about: this is wrong now, and nothing else; told in the same transaction."""
    from queues.monitor import outbox

    with transaction.atomic(using=router.db_for_write(Alert)):
        outbox.write(apply(rule, findings, now=now), now=now)


def acknowledge(*, alert_id: int, user: Any, now: datetime) -> bool:
    """Somebody looks after it: no more repeats. False if it is not firing (any more)."""
    firing = Alert.objects.filter(pk=alert_id, state=Alert.State.FIRING)
    return bool(firing.update(state=Alert.State.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=user))


def silence(*, rule: str, scope: str, reason: str, until: datetime, user: Any, now: datetime) -> Silence:
    """Tell nothing of a rule ("" is all) and scope ("" is all) until then; it is evaluated and shown all the same."""
    row = Silence.objects.create(
        rule=rule, scope=scope, reason=reason[:500], created_at=now, created_by=user, until=until
    )
    rows = Alert.objects.filter(state__in=OPEN)
    rows = rows.filter(rule=rule) if rule else rows
    rows = rows.filter(scope=scope) if scope else rows
    rows.update(silenced_until=until, silence_reason=reason[:500])
    return row


def end_silence(*, silence_id: int, now: datetime) -> bool:
    """Tell again; False if it is over already. What fires still is told at the next evaluation."""
    row = Silence.objects.filter(pk=silence_id, ended_at__isnull=True, until__gt=now).first()
    if row is None or not Silence.objects.filter(pk=row.pk, ended_at__isnull=True).update(ended_at=now):
        return False
    rows = Alert.objects.filter(state__in=OPEN, silenced_until__isnull=False)
    rows = rows.filter(rule=row.rule) if row.rule else rows
    rows = rows.filter(scope=row.scope) if row.scope else rows
    rows.update(silenced_until=None, silence_reason="")
    return True


def _bounded(findings: Sequence[Finding]) -> Iterable[Finding]:
    if len(findings) <= SCOPES_MAX:
        return findings
    words = f"{len(findings)} of them at once, first: {findings[0].words}"
    return [Finding(words=words, values={"count": len(findings)}, path=findings[0].path, severity=findings[0].severity)]


def _silences(rule: Rule, *, now: datetime) -> list[Silence]:
    mine = Q(rule=rule.name) | Q(rule="")
    return list(Silence.objects.filter(mine, until__gt=now, ended_at__isnull=True).order_by("-until"))


def _found(rule: Rule, finding: Finding, row: Alert | None, silences: list[Silence], *, now: datetime) -> Step | None:
    if row is None:
        row = _begin(rule, finding, now=now)
        if row is None:  # another evaluation began it a moment ago
            return None
    silenced = next((each for each in silences if each.scope in ("", row.scope)), None)
    row.words, row.values = finding.words[:WORDS_MAX], {**finding.values, "path": finding.path or rule.path}
    row.severity, row.evaluated_at = finding.severity or rule.severity, now
    row.silenced_until = silenced.until if silenced else None
    row.silence_reason = silenced.reason if silenced else ""
    row.save(update_fields=["words", "values", "severity", "evaluated_at", "silenced_until", "silence_reason"])
    if row.state == Alert.State.PENDING and now - row.pending_at >= rule.holds:
        _fire(row, now=now)
    if row.state != Alert.State.FIRING or silenced:
        return None
    return _say(row, now=now)


def _begin(rule: Rule, finding: Finding, *, now: datetime) -> Alert | None:
    row = Alert(
        rule=rule.name,
        scope=finding.scope[:SCOPE_MAX],
        severity=finding.severity or rule.severity,
        words=finding.words[:WORDS_MAX],
        pending_at=now,
        evaluated_at=now,
        last_sent_at=_sent_lately(rule, finding, now=now),
    )
    Alert.objects.bulk_create([row], ignore_conflicts=True)
    return Alert.objects.filter(rule=row.rule, scope=row.scope, state=Alert.State.PENDING, pending_at=now).first()


def _sent_lately(rule: Rule, finding: Finding, *, now: datetime) -> datetime | None:
    """When the same was told last, if that is less than an hour ago: then this one waits for its hour to be over."""
    earlier = Alert.objects.filter(rule=rule.name, scope=finding.scope[:SCOPE_MAX], last_sent_at__gt=now - REPEAT)
    return earlier.order_by("-last_sent_at").values_list("last_sent_at", flat=True).first()


def _fire(row: Alert, *, now: datetime) -> None:
    if Alert.objects.filter(pk=row.pk, state=Alert.State.PENDING).update(state=Alert.State.FIRING, firing_at=now):
        row.state, row.firing_at = Alert.State.FIRING, now
        if row.severity == Severity.PAGE:
            incidents.begin(row, now=now)
        logger.error("alert.firing", rule=row.rule, scope=row.scope, severity=row.severity, words=row.words)


def _say(row: Alert, *, now: datetime) -> Step | None:
    """Tell it, if that was not done within the hour."""
    due = Q(last_sent_at__isnull=True) | Q(last_sent_at__lte=now - REPEAT)
    first = row.last_sent_at is None or (row.firing_at is not None and row.last_sent_at < row.firing_at)
    if not Alert.objects.filter(due, pk=row.pk, state=Alert.State.FIRING).update(last_sent_at=now):
        return None
    row.last_sent_at = now
    return Step(row, AlertDelivery.Kind.FIRING if first else AlertDelivery.Kind.REPEAT)


def _missed(rule: Rule, row: Alert, *, now: datetime) -> Step | None:
    if row.state != Alert.State.PENDING and now - row.evaluated_at < rule.clears:
        return None
    done = Alert.objects.filter(pk=row.pk, state=row.state).update(state=Alert.State.RESOLVED, resolved_at=now)
    if not done or row.firing_at is None:
        return None
    row.state, row.resolved_at = Alert.State.RESOLVED, now
    incidents.end(row, now=now)
    logger.info("alert.resolved", rule=row.rule, scope=row.scope, seconds=int((now - row.firing_at).total_seconds()))
    told = row.last_sent_at is not None and row.last_sent_at >= row.firing_at
    silenced = row.silenced_until is not None and row.silenced_until > now
    return Step(row, AlertDelivery.Kind.RECOVERY) if told and not silenced else None
