"""The alert of a broken ledger: told by the nightly walk along the chain, and over when a walk finds it whole."""

from __future__ import annotations

from datetime import datetime, timedelta

from queues.desk import ledger
from queues.monitor import alerts
from queues.monitor.models import Severity
from queues.monitor.rules import Finding, Rule

RULE = Rule(
    name="ledger_broken",
    title="The ledger was changed",
    severity=Severity.PAGE,
    look=None,
    path="/admin/queues/ledgerentry/",
    clears=timedelta(0),
    advice="Somebody changed the record of staff acts behind its back, or LEDGER_KEY is another one. Touch nothing:"
    " `manage.py verify_ledger` names the entry, the log has the digests, a backup has the words that were there.",
)


def verify(*, now: datetime) -> str:
    """Walk the whole chain and tell; returns what was found, in a sentence."""
    verdict = ledger.verify()
    if verdict.whole:
        alerts.tell(RULE, [], now=now)
        return f"whole: {verdict.entries} entries"
    at = f" at entry {verdict.broken_at}" if verdict.broken_at else ""
    words = f"The ledger is broken{at}: {verdict.why}."
    alerts.tell(RULE, [Finding(words=words, values={"entry": verdict.broken_at})], now=now)
    return words
