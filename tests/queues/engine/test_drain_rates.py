"""The drain under rate limits: the allowance is used to the full, in order; another's limit holds up nobody."""

from __future__ import annotations

import resource
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from queues.engine import claim, limiter
from queues.engine.attempts import Attempt
from queues.engine.drain import Drain
from queues.engine.limiter import RateCounter
from queues.engine.outcomes import Cancel, Transient
from queues.engine.registry import Limit
from queues.engine.states import Priority
from tests.queues.engine.conftest import MakeJobs, job_queue
from tests.queues.engine.many import fill
from tests.samplequeue.models import Job

pytestmark = [pytest.mark.alone, pytest.mark.django_db(transaction=True)]

ALL = Limit("all")
AGO = timedelta(hours=1)


def each(item: Job) -> list[Limit]:
    """One allowance in all, one for whom the note names."""
    return [ALL, Limit("each", item.note)]


class Ran(list[tuple[float, int]]):
    """A handler that notes when it ran what."""

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()

    def __call__(self, item: Job, context: Any) -> None:
        self.append((time.monotonic() - self.began, item.pk))


@pytest.mark.slow
def test_a_queue_with_a_limit_uses_all_of_it_in_the_order_of_the_queue(jobs: MakeJobs, settings: Settings) -> None:
    settings.RATE_LIMITS = {"all": (20, 1)}
    jobs(200, due_at=timezone.now() - AGO)
    ran = Ran()

    Drain(job_queue(ran, limits=lambda item: [ALL])).run(resident=timedelta(seconds=6))

    assert len(ran) >= 100  # six windows begin in that time; each may be seen up to half a second late
    # A hand may come late to what was granted in time; that no window has too many is the limiter's own test.
    assert all(ran[place + 20][0] - ran[place][0] > 0.5 for place in range(len(ran) - 20))
    runs = [pk for _, pk in ran]
    assert max(abs(place - pk) for place, pk in zip(sorted(runs), runs, strict=True)) <= 4  # four hands


def test_a_used_up_allowance_charges_nobody_and_is_not_asked_again_and_again(
    jobs: MakeJobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMITS = {"all": (5, 3600)}
    jobs(500, due_at=timezone.now() - AGO)
    claims, taken = claim.claim, [0]

    def counted(*args: Any, **more: Any) -> Any:
        taken[0] += 1
        return claims(*args, **more)

    monkeypatch.setattr(claim, "claim", counted)
    counts = Drain(job_queue(limits=lambda item: [ALL])).run(resident=timedelta(seconds=2))

    assert counts == {"ack": 5}
    assert taken[0] <= 3
    waiting = Job.objects.exclude(status="succeeded")
    assert set(waiting.values_list("status", "attempts", "runs")) == {("pending", 0, 0)}
    assert Attempt.objects.count() == 5


def test_who_waits_for_its_own_limit_runs_when_it_was_told_and_holds_up_nobody(
    jobs: MakeJobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMITS = {"all": (1000, 1), "each": (2, 1)}
    anna = jobs(6, note="anna", key="anna", due_at=timezone.now() - AGO)
    bert = jobs(1, note="bert", key="bert", due_at=timezone.now())
    ran = Ran()
    asked: list[limiter.Want] = []
    grant = limiter.grant
    monkeypatch.setattr(limiter, "grant", lambda wants: asked.extend(wants) or grant(wants))

    queue = job_queue(ran, limits=each, hands=1)
    Drain(queue, stopping=lambda: len(ran) == 7).run(resident=timedelta(seconds=10))

    at = {pk: when for when, pk in ran}
    assert at[bert[0].pk] < at[anna[2].pk]
    assert [pk for _, pk in ran if pk != bert[0].pk] == [job.pk for job in anna]
    for first, third in zip(anna, anna[2:], strict=False):
        assert at[third.pk] - at[first.pk] > 0.9
    # Who comes again passes the line and hands in the place that was kept.
    assert {(want.ahead, want.promised) for want in asked[:7]} == {(False, False)}
    assert {(want.ahead, want.promised) for want in asked[7:]} == {(True, True)}
    assert set(Job.objects.values_list("status", "attempts")) == {("succeeded", 1)}
    assert set(Attempt.objects.values_list("outcome", "charged")) == {("ack", True), ("snooze", False)}


def test_somebody_urgent_passes_those_who_wait(jobs: MakeJobs, settings: Settings) -> None:
    settings.RATE_LIMITS = {"all": (1000, 1), "each": (1, 1)}
    jobs(4, note="anna", due_at=timezone.now() - AGO)
    ran = Ran()
    queue = job_queue(ran, limits=each)
    Drain(queue).run()
    (reset,) = jobs(1, note="anna", key="reset", priority=Priority.URGENT, due_at=timezone.now())

    Drain(queue, stopping=lambda: len(ran) == 2).run(resident=timedelta(seconds=6))

    assert [pk for _, pk in ran][1] == reset.pk


@pytest.mark.parametrize("outcome", [Cancel("nothing to do"), Transient("not tried", charged=False)], ids=repr)
def test_a_grant_that_was_not_used_is_given_back(jobs: MakeJobs, settings: Settings, outcome: Exception) -> None:
    settings.RATE_LIMITS = {"all": (3, 3600), "each": (3, 3600)}

    def work(item: Job, context: Any) -> None:
        if item.priority == Priority.HIGH:
            raise outcome

    queue = job_queue(work, limits=each, batch=1)
    jobs(5, note="anna", priority=Priority.HIGH, due_at=timezone.now() - AGO)
    Drain(queue).run()
    assert {key: sum(slots.values()) for key, slots in RateCounter.objects.values_list("key", "slots")} == {
        "all": 0,
        "each:anna": 0,
    }


@pytest.mark.slow
def test_ten_thousand_for_one_recipient_hold_up_the_others_for_moments(jobs: MakeJobs, settings: Settings) -> None:
    settings.RATE_LIMITS = {"all": (100_000, 60), "each": (10, 60)}
    jobs(10_000, note="anna", due_at=timezone.now() - AGO)
    jobs(50, note="others", key="others", due_at=timezone.now() - AGO / 2)
    Job.objects.filter(note="others").update(note="bert")
    ran = Ran()

    counts = Drain(job_queue(ran, limits=each)).run()

    assert counts["snooze"] == 9_990 + 40
    assert counts["ack"] == 20
    assert not Job.objects.exclude(status="succeeded").filter(due_at__lt=timezone.now()).exists()
    # In its line each one is told its own minute, a thousand of them, and asks but once.
    told = Counter(Job.objects.filter(note="anna", status="retrying").values_list("due_at", flat=True))
    assert max(told.values()) == 10
    assert Job.objects.filter(status="retrying").exclude(runs=1).count() == 0
    assert len(told) == 999


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own figures")
def test_memory_does_not_grow_with_what_is_pending() -> None:
    fill(100_000, status="pending", start_at=timezone.now() - AGO)
    rss: list[int] = []
    done = [0]

    def work(item: Job, context: Any) -> None:
        done[0] += 1
        if done[0] % 500 == 0:
            rss.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())

    Drain(job_queue(work), stopping=lambda: done[0] >= 5000).run()

    assert rss[-1] - rss[1] < 8 * 2**20  # of what it has after the first thousand
