"""Fixtures of the engine's tests: a moment, jobs, and a queue over them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from queues.engine.policy import RetryPolicy
from queues.engine.registry import Queue
from tests.samplequeue.models import Job

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""The moment at which the clock of most tests stands."""

MakeJobs = Callable[..., list[Job]]


@pytest.fixture
def now() -> datetime:
    """The moment at which the clock of a test stands."""
    return T0


@pytest.fixture
def jobs(now: datetime) -> MakeJobs:
    """`jobs(3, kind="x")`: rows due a minute ago, with keys of their own; returns them in order of id."""

    def make(count: int, *, model: Any = Job, key: str = "job", **fields: Any) -> list[Any]:
        start = model.objects.count()
        given = {"due_at": now - timedelta(minutes=1), **fields}
        rows = [model(idempotency_key=f"{key}-{start + number}", **given) for number in range(count)]
        model.objects.bulk_create(rows)
        return list(model.objects.filter(idempotency_key__in=[row.idempotency_key for row in rows]).order_by("pk"))

    return make


def job_queue(handler: Callable[[Any, Any], Any] = lambda *given: None, **parts: Any) -> Queue:
    """A queue over `Job` that is not registered."""
    given: dict[str, Any] = {"name": "job", "model": Job, "policy": RetryPolicy(1, 5, 30), "hands": 4, **parts}
    return Queue(handler=handler, **given)


@pytest.fixture
def postgres() -> bool:
    """Whether this run is on PostgreSQL."""
    return connection.vendor == "postgresql"
