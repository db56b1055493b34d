"""Deleting what is old never holds a lock for long, however much there is of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from queues.email import retention
from queues.email.models import EmailMessage
from queues.engine import limiter, pruning
from queues.engine.attempts import Attempt
from queues.engine.limiter import RateCounter
from queues.engine.states import Status
from queues.engine.tombstones import Tombstone

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()


@contextmanager
def held() -> Iterator[list[float]]:
    """Processor time between the first write of each transaction and its end; others of the run share the machine."""
    spans: list[float] = []
    begun: list[float] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        word = sql.lstrip().split(maxsplit=1)[0].upper()
        # SQLite's transactions begin IMMEDIATE and so hold the lock from their first word on.
        if word in ("DELETE", "UPDATE", "INSERT", "BEGIN") or "FOR UPDATE" in sql:
            begun.append(time.process_time()) if not begun else None
        return execute(sql, params, many, context)

    commit = connection.commit

    def ended() -> None:
        commit()
        if begun:
            spans.append(time.process_time() - begun.pop())
            begun.clear()

    connection.commit = ended  # type: ignore[method-assign]
    try:
        with connection.execute_wrapper(watch):
            yield spans
    finally:
        connection.commit = commit  # type: ignore[method-assign]


def test_counters_of_a_million_recipients_go_a_few_at_a_time():
    """One a recipient, every day; batches grow while they are quick and shrink when they are not."""
    old = NOW - timedelta(days=2)
    for start in range(0, 6_000, 2_000):
        RateCounter.objects.bulk_create(
            RateCounter(key=f"email.recipient:{number}@example.com", used_at=old)
            for number in range(start, start + 2_000)
        )
    RateCounter.objects.create(key="email", used_at=NOW)
    with held() as spans:
        assert limiter.clean(now=NOW) == 6_000
    assert [row.key for row in RateCounter.objects.all()] == ["email"]
    assert len(spans) > 3
    assert max(spans) < pruning.LOCK_SECONDS


def test_old_mails_with_their_attempts_go_a_few_at_a_time():
    """Bodies first, then the rows with what hangs on them, the tombstones before."""
    old = NOW - timedelta(days=200)
    EmailMessage.objects.bulk_create(
        EmailMessage(
            idempotency_key=f"k{number}",
            status=Status.SUCCEEDED,
            succeeded_at=old,
            text="x" * 3000,
            to=["a@example.com"],
            recipients=["a@example.com"],
            recipient="a@example.com",
            message_id=f"<{number}@x>",
        )
        for number in range(1_000)
    )
    Attempt.objects.bulk_create(
        Attempt(queue="email", item_id=pk, number=number, outcome="ack")
        for pk in EmailMessage.objects.values_list("pk", flat=True)
        for number in (1, 2)
    )
    with held() as spans:
        assert retention.remove_bodies(now=NOW) == 1_000
        retention.remove_rows(now=NOW)
        Tombstone.objects.update(buried_at=NOW - timedelta(days=1))
        spans.pop()  # of the line above
        assert retention.remove_rows(now=NOW) == 1_000
    assert not EmailMessage.objects.exists()
    assert not Attempt.objects.exists()
    assert max(spans) < pruning.LOCK_SECONDS, sorted(spans)[-5:]


def test_a_slow_batch_makes_the_next_one_smaller():
    """And a quick one larger, within bounds."""
    pace = pruning.Pace(first=400)
    pace.took(0.05)
    assert pace.size == 200
    for _ in range(10):
        pace.took(0.2)
    assert pace.size == pruning.LEAST
    for _ in range(20):
        pace.took(0.001)
    assert pace.size == pruning.MOST
    assert [len(part) for part in pruning.paced(range(25), pace=pruning.Pace(first=10))] == [10, 10, 5]
