"""The drain under rate limits: the allowance is used to the full, in order; another's limit holds up nobody."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from queues.engine.drain import Drain
from queues.engine.registry import Limit
from tests.queues.engine.conftest import MakeJobs, job_queue

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.slow
def test_a_queue_with_a_limit_uses_all_of_it(jobs: MakeJobs, settings: Settings) -> None:
    settings.RATE_LIMITS = {"sample": (20, 1)}
    jobs(150, due_at=timezone.now() - timedelta(hours=1))
    ran: list[tuple[float, int]] = []
    queue = job_queue(
        lambda item, context: ran.append((time.monotonic(), item.pk)), limits=lambda item: [Limit("sample")]
    )

    began = time.monotonic()
    Drain(queue).run(resident=timedelta(seconds=5.5))

    print([(round(at - began, 2), pk) for at, pk in ran])
    for index in range(len(ran) - 20):
        assert ran[index + 20][0] - ran[index][0] > 0.9
    # Windows begin at 0, 1.02, 2.03, 3.05, 4.07, 5.08 and up to 0.5 s later each
    assert len(ran) >= 80
