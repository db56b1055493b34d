"""One evaluation: every rule looks, the alerts take their steps, and what is to be told is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import router, transaction

from queues.engine import heartbeats, log
from queues.monitor import alerts, outbox, rules
from queues.monitor.models import Alert, Severity
from queues.monitor.rules import Finding, Rule

logger = log.get(__name__)

BEAT = "alerts"
"""The evaluator's own heartbeat: `/readyz` shows when it is missing, to whoever watches from outside."""
BROKEN = Rule(
    name="rule_broken",
    title="An alert rule itself fails",
    severity=Severity.TICKET,
    look=None,
    advice="The log's line `alert.rule_failed` has the traceback. Until it is mended its own alerts stay as they are.",
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What one evaluation did."""

    rules: int
    written: int
    sent: int


def everything(*, now: datetime) -> Evaluated:
    """Look at every rule that is polled; the schedule's task, once a minute."""
    done = _evaluate([rule for rule in rules.all_rules() if rule.look is not None], now=now)
    heartbeats.beat(name=BEAT, now=now, rules=done.rules)
    return done


def without_workers(*, now: datetime) -> Evaluated:
    """Look at what only the supervisor can tell while the workers are gone, and send what is due in their place."""
    return _evaluate([rule for rule in rules.all_rules() if rule.without_workers], now=now, partial=True)


def _evaluate(wanted: Iterable[Rule], *, now: datetime, partial: bool = False) -> Evaluated:
    looked: list[tuple[Rule, list[Finding]]] = []
    broken: list[Finding] = []
    for rule in wanted:
        assert rule.look is not None
        try:
            # In no transaction: SQLite's would hold the only write lock while a rule looks.
            looked.append((rule, list(rule.look(now))))
        except Exception as error:  # one rule's mistake, or its time-out, must not make the others blind
            logger.exception("alert.rule_failed", rule=rule.name)
            broken.append(Finding(scope=rule.name, words=f"Rule {rule.name} fails: {type(error).__name__}."))
    with transaction.atomic(using=router.db_for_write(Alert)):
        steps = [step for rule, found in looked for step in alerts.apply(rule, found, now=now)]
        if not partial:
            steps += alerts.apply(BROKEN, broken, now=now)
        written = outbox.write(steps, now=now)
    return Evaluated(len(looked), written, outbox.deliver(now=now))
