"""Alert rules as data: what to look at, whom it concerns and what to do; each room registers its own.

A rule looks and returns what it finds wrong, one `Finding` for each scope. What becomes of that (how long it must hold,
who is told, when it is over) is the same for all rules and stands in `alerts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from queues.monitor.models import Severity

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule found wrong with one scope."""

    words: str
    """One sentence with the figures; no personal data, no secret: it is mailed and posted."""
    scope: str = ""
    """What it is about: a queue, an objective, a machine; "" is the whole."""
    values: dict[str, Any] = field(default_factory=dict)
    path: str = ""
    """The page to look at first, if it is not the rule's."""
    severity: Severity | None = None
    """Where it is not the rule's."""


type Look = Callable[[datetime], Iterable[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table of rules."""

    name: str
    """Stands in tables, logs and addresses; never changed."""
    title: str
    severity: Severity
    look: Look | None
    """None: whoever does the work tells (`alerts.tell`), since looking every minute would cost too much."""
    advice: str
    """The runbook's first words: what it means and what to do now."""
    path: str = ""
    """The page to look at first, relative to BASE_URL."""
    holds: timedelta = timedelta(0)
    """How long it must be found before it fires."""
    clears: timedelta = MINUTE
    """How long it must not be found before it is over: what comes and goes is one alert."""
    without_workers: bool = False
    """Looked at by the supervisor too, which lives when the workers do not."""


_rules: dict[str, Rule] = {}


def register(*rules: Rule) -> None:
    """Make rules known. Raises ValueError for a second rule of the same name."""
    for rule in rules:
        if _rules.setdefault(rule.name, rule) != rule:
            raise ValueError(f"two rules are named {rule.name!r}")


def get(name: str) -> Rule | None:
    """The rule of that name, or None: an alert may outlive its rule."""
    return _rules.get(name)


def all_rules() -> list[Rule]:
    """Every rule, by name."""
    return [_rules[name] for name in sorted(_rules)]
