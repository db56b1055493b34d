"""Failure groups as settlements keep them: one row a cause, written only when there is something new to say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from queues.engine import claim, failure_groups, settle, transitions
from queues.engine.failure_groups import FailureGroup
from queues.engine.outcomes import Cancel, Permanent, Snooze, Transient
from tests.queues.engine.conftest import T0, MakeJobs, job_queue
from tests.samplequeue.models import Job

pytestmark = pytest.mark.django_db

QUEUE = job_queue()
MINUTE = timedelta(minutes=1)


def end(jobs: list[Job], result: Any, *, at: Any = T0) -> None:
    settle.settle(QUEUE, [settle.decide(QUEUE, job, result, started_at=at, now=at) for job in jobs])


def run(jobs: MakeJobs, result: Any, *, count: int = 1, at: Any = T0) -> list[Job]:
    jobs(count, due_at=at)
    taken = claim.claim(Job, limit=count, worker="w", now=at)
    end(taken, result, at=at)
    return taken


def fingerprint(job: Job) -> str:
    return Job.objects.values_list("fingerprint", flat=True).get(pk=job.pk)


def test_a_failure_has_its_fingerprint_and_its_group(jobs: MakeJobs):
    (first,), (second,) = run(jobs, Transient("451 try 7", code="smtp 451")), run(jobs, Permanent("550 no", code="x"))
    (third,) = run(jobs, Transient("451 try 8", code="smtp 451"))
    assert fingerprint(first) == fingerprint(third) != fingerprint(second)
    group = FailureGroup.objects.get(fingerprint=fingerprint(first))
    assert (group.queue, group.code, group.words, group.state) == (QUEUE.name, "smtp 451", "451 try 7", "open")
    assert FailureGroup.objects.count() == 2


def test_what_ends_well_has_none_and_what_was_not_tried_keeps_its_own(jobs: MakeJobs):
    (job,) = run(jobs, Transient("451", code="smtp 451"))
    before = fingerprint(job)
    for result, expected in [
        (Snooze("full", until=T0), before),
        (Transient("421", code="y", charged=False, retry_after=timedelta()), before),
        (Cancel("suppressed"), ""),
    ]:
        Job.objects.filter(pk=job.pk).update(due_at=T0)
        end(claim.claim(Job, limit=1, worker="w", now=T0), result)
        assert fingerprint(job) == expected, result
    (done,) = run(jobs, None)
    assert fingerprint(done) == ""
    assert FailureGroup.objects.count() == 1


def test_the_happy_path_asks_nothing_more(jobs: MakeJobs):
    jobs(5)
    taken = claim.claim(Job, limit=5, worker="w", now=T0)
    with CaptureQueriesContext(connection) as queries:
        end(taken, None)
    assert [query["sql"] for query in queries if "failuregroup" in query["sql"]] == []


def test_a_failure_of_a_known_group_only_reads_it(jobs: MakeJobs):
    run(jobs, Transient("451", code="smtp 451"))
    jobs(5, due_at=T0)
    taken = claim.claim(Job, limit=5, worker="w", now=T0)
    with CaptureQueriesContext(connection) as queries:
        end(taken, Transient("451", code="smtp 451"), at=T0 + timedelta(seconds=59))
    asked = [query["sql"] for query in queries if "failuregroup" in query["sql"]]
    assert len(asked) == 1
    assert asked[0].startswith("SELECT")


def test_it_is_written_when_last_seen_once_a_minute(jobs: MakeJobs):
    run(jobs, Transient("451", code="smtp 451"))
    run(jobs, Transient("451", code="smtp 451"), at=T0 + 2 * MINUTE)
    group = FailureGroup.objects.get()
    assert (group.first_seen_at, group.last_seen_at) == (T0, T0 + 2 * MINUTE)


def test_what_was_resolved_and_is_seen_again_regresses_once(jobs: MakeJobs):
    run(jobs, Transient("451", code="smtp 451"))
    FailureGroup.objects.update(state="resolved", changed_at=T0 + MINUTE)
    run(jobs, Transient("451", code="smtp 451"), at=T0 + MINUTE / 2)  # had begun before it was resolved
    assert FailureGroup.objects.get().state == "resolved"
    again = T0 + MINUTE * 1.5
    run(jobs, Transient("451", code="smtp 451"), at=again)
    run(jobs, Transient("451", code="smtp 451"), at=again + MINUTE)
    group = FailureGroup.objects.get()
    assert (group.state, group.regressed_at) == ("open", again)


def test_what_is_ignored_opens_when_it_is_seen_after_its_time(jobs: MakeJobs):
    run(jobs, Transient("451", code="smtp 451"))
    FailureGroup.objects.update(state="ignored", ignored_until=T0 + MINUTE)
    run(jobs, Transient("451", code="smtp 451"), at=T0 + MINUTE / 2)
    assert FailureGroup.objects.get().state == "ignored"
    run(jobs, Transient("451", code="smtp 451"), at=T0 + MINUTE)
    assert FailureGroup.objects.get().state == "open"


def test_an_acknowledged_group_stays_so(jobs: MakeJobs):
    run(jobs, Transient("451", code="smtp 451"))
    FailureGroup.objects.update(state="acknowledged")
    run(jobs, Transient("451", code="smtp 451"), at=T0 + 5 * MINUTE)
    assert FailureGroup.objects.get().state == "acknowledged"


def test_a_lost_worker_is_a_cause_too(jobs: MakeJobs):
    jobs(2)
    lost = claim.claim(Job, limit=2, worker="w", now=T0)
    assert transitions.reclaim(QUEUE, now=T0 + MINUTE) == 2
    assert fingerprint(lost[0]) == fingerprint(lost[1]) == FailureGroup.objects.get().fingerprint


def test_a_type_or_handler_tells_failures_apart_where_the_queue_says_so(jobs: MakeJobs, monkeypatch: Any):
    monkeypatch.setattr(Job, "FAILS_BY", ("kind",))
    jobs(1, kind="a"), jobs(1, kind="b")
    taken = claim.claim(Job, limit=2, worker="w", now=T0)
    end(taken, Transient("451", code="smtp 451"))
    assert FailureGroup.objects.count() == 2


def test_a_group_that_cannot_be_written_harms_no_settlement(jobs: MakeJobs, monkeypatch: Any):
    from django.db import OperationalError

    def away(*_given: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(failure_groups, "_note", away)
    (job,) = run(jobs, Transient("451", code="smtp 451"))
    assert fingerprint(job)
