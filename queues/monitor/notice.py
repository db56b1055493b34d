"""What a message about alerts says, before a channel gives it its form: title, one entry an alert, links, advice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from queues.monitor import rules
from queues.monitor.models import Alert, AlertDelivery, Severity

Kind = AlertDelivery.Kind
HEADS = {Kind.FIRING: "Firing", Kind.REPEAT: "Still firing", Kind.RECOVERY: "Recovered"}
ENTRIES_MAX = 20
PAGE = "/admin/queues/alert/"


def subject(*, kind: str, alerts: Sequence[Alert]) -> str:
    """One line: `[page] Firing: E-mail waits too long (email) and 2 more`."""
    first = alerts[0]
    scope = f" ({first.scope})" if first.scope else ""
    more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    return f"[{_severity(alerts)}] {HEADS[Kind(kind)]}: {title(first)}{scope}{more}"


def body(*, kind: str, alerts: Sequence[Alert], now: datetime) -> dict[str, Any]:
    """The message as data: `title`, `kind`, `severity`, `entries` (title, scope, words, since, url, advice), `url`."""
    entries = [_entry(alert, kind=kind, now=now) for alert in alerts[:ENTRIES_MAX]]
    return {
        "title": subject(kind=kind, alerts=alerts),
        "kind": str(kind),
        "severity": _severity(alerts),
        "entries": entries,
        "more": max(0, len(alerts) - ENTRIES_MAX),
        "url": settings.BASE_URL + PAGE,
        "at": f"{now:%Y-%m-%d %H:%M} UTC",
    }


def test(*, now: datetime) -> dict[str, Any]:
    """A message that says that nothing is wrong."""
    entry = {
        "title": "This is a test",
        "scope": "",
        "words": "Nothing is wrong. Alerts of this system reach you this way.",
        "since": "",
        "url": settings.BASE_URL + PAGE,
        "advice": "",
    }
    return {
        "title": "[test] Alerts of Redrive",
        "kind": Kind.TEST.value,
        "severity": "",
        "entries": [entry],
        "more": 0,
        "url": settings.BASE_URL + PAGE,
        "at": f"{now:%Y-%m-%d %H:%M} UTC",
    }


def title(alert: Alert) -> str:
    """The rule's title; of a rule that is gone, its name."""
    rule = rules.get(alert.rule)
    return rule.title if rule else alert.rule.replace("_", " ")


def lasted(duration: timedelta) -> str:
    """A duration in the words people use: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(0, int(duration.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _entry(alert: Alert, *, kind: str, now: datetime) -> dict[str, Any]:
    rule = rules.get(alert.rule)
    begun = alert.firing_at or alert.pending_at
    since = f"since {begun:%Y-%m-%d %H:%M} UTC, for {lasted(now - begun)}"
    if kind == Kind.RECOVERY:
        since = f"over after {lasted((alert.resolved_at or now) - begun)}, since {begun:%Y-%m-%d %H:%M} UTC"
    path = str(alert.values.get("path", ""))
    return {
        "title": title(alert),
        "scope": alert.scope,
        "words": alert.words,
        "since": since,
        "url": settings.BASE_URL + (path or f"{PAGE}{alert.pk}/change/"),
        "advice": rule.advice if rule and kind != Kind.RECOVERY else "",
        "alert_url": f"{settings.BASE_URL}{PAGE}{alert.pk}/change/",
    }


def _severity(alerts: Sequence[Alert]) -> str:
    return "page" if any(alert.severity == Severity.PAGE for alert in alerts) else "ticket"
