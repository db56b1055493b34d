"""The states: what each transition changes, what it leaves alone, and what the database itself refuses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from queues.engine import transitions
from queues.engine.attempts import Attempt
from queues.engine.states import Status
from queues.engine.tombstones import Tombstone
from tests.queues.engine.conftest import T0, MakeJobs, job_queue
from tests.samplequeue.models import Job, LanedJob

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
P, R, X, S, C, D = (
    Status.PENDING,
    Status.RETRYING,
    Status.PROCESSING,
    Status.SUCCEEDED,
    Status.CANCELLED,
    Status.DEAD_LETTER,
)


def job_in(status: Status, **fields: Any) -> Job:
    """A job in that state, as the engine would have left it."""
    given: dict[str, Any] = {"status": status, "due_at": T0 - MINUTE, "attempts": 1, "runs": 1, "version": 7, **fields}
    if status == X:
        given = {"lease_token": uuid.uuid4(), "leased_until": T0 + MINUTE, "leased_by": "w", **given}
    finished = {S: "succeeded_at", C: "cancelled_at", D: "dead_at"}
    if status in finished:
        given[finished[status]] = T0 - MINUTE
    return Job.objects.create(idempotency_key=str(uuid.uuid4()), **given)


ALL = lambda: Job.objects.all()  # noqa: E731
TRANSITIONS: dict[str, tuple[Callable[[], object], set[Status], Status]] = {
    "expire": (lambda: transitions.expire(job_queue(), now=T0), {P, R}, C),
    "redrive": (lambda: transitions.redrive(ALL(), now=T0), {D}, P),
    "replay": (lambda: transitions.replay(ALL(), now=T0), {S, C}, P),
    "discard": (lambda: transitions.discard(ALL(), reason="wrong list", now=T0), {P, R, D}, C),
    "reclaim": (lambda: transitions.reclaim(job_queue(), now=T0 + 2 * MINUTE), {X}, R),
    "confirm": (
        lambda: [transitions.confirm(Job, item_id=pk, now=T0) for pk in ALL().values_list("pk", flat=True)],
        {P, R, D},
        S,
    ),
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_takes_what_it_may_and_leaves_the_rest_alone(name: str, status: Status) -> None:
    act, takes, becomes = TRANSITIONS[name]
    job = job_in(status, expires_at=T0, uncertain_at=T0 - MINUTE)
    before = Job.objects.filter(pk=job.pk).values().get()

    act()

    after = Job.objects.filter(pk=job.pk).values().get()
    if status not in takes:
        assert after == before
        return
    assert after["status"] == becomes
    assert after["version"] == 8
    assert after["lease_token"] is None
    assert after["leased_until"] is None


@pytest.mark.parametrize(("name", "status"), [("redrive", D), ("replay", S), ("replay", C)])
def test_what_runs_again_has_a_whole_schedule_before_it_and_keeps_its_history(name: str, status: Status) -> None:
    act, _, _ = TRANSITIONS[name]
    job = job_in(status, attempts=6, runs=9, uncertain_at=T0, waits_for="uncertain", last_words="no", last_code="c")
    act()
    job.refresh_from_db()
    assert (job.attempts, job.runs, job.due_at) == (0, 9, T0)
    assert (job.uncertain_at, job.waits_for, job.finished_at) == (None, "", None)
    assert (job.succeeded_at, job.cancelled_at, job.dead_at) == (None, None, None)
    assert (job.last_words, job.last_code) == ("no", "c")


def test_what_is_purged_runs_no_more() -> None:
    for status in (S, C, D):
        job_in(status, hidden_at=T0)
    assert transitions.redrive(ALL(), now=T0) == transitions.replay(ALL(), now=T0) == 0


def test_discarding_says_why() -> None:
    job = job_in(P)
    transitions.discard(ALL(), reason="wrong list", now=T0)
    job.refresh_from_db()
    assert (job.last_code, job.last_words) == ("discarded", "Discarded by staff: wrong list")
    assert (job.cancelled_at, job.finished_at) == (T0, T0)


@pytest.mark.parametrize("status", list(Status))
def test_only_what_no_worker_will_touch_is_hidden_and_it_comes_back_for_seven_days(status: Status) -> None:
    job = job_in(status)
    may = status in (S, C, D)
    assert transitions.hide(ALL(), now=T0) == int(may)
    assert Job.objects.shown().count() == int(not may)
    assert transitions.hide(ALL(), now=T0 + MINUTE) == 0
    assert transitions.restore(ALL(), now=T0 + timedelta(days=7)) == 0
    assert transitions.restore(ALL(), now=T0 + timedelta(days=7) - MINUTE) == int(may)
    job.refresh_from_db()
    assert job.hidden_at is None


@pytest.mark.parametrize("status", list(Status))
def test_burying_leaves_a_tombstone_and_never_takes_what_waits_or_runs(status: Status) -> None:
    job = job_in(status, content_hash="h")
    Attempt.objects.create(queue="job", item_id=job.pk, number=1, outcome="ack")
    other = Attempt.objects.create(queue="other", item_id=job.pk, number=1, outcome="ack")

    buried = sum(transitions.bury(job_queue(), items=ALL(), now=T0 + after) for after in (0 * MINUTE, 2 * MINUTE))

    if status not in (S, C, D):
        assert (buried, Job.objects.count(), Tombstone.objects.count()) == (0, 1, 0)
        return
    assert (buried, Job.objects.count()) == (1, 0)
    stone = Tombstone.objects.get()
    assert (stone.queue, stone.key, stone.item_id) == ("job", job.idempotency_key, job.pk)
    assert (stone.status, stone.content_hash) == (status, "h")
    assert list(Attempt.objects.all()) == [other]


def test_a_row_that_is_sent_back_to_work_between_the_two_calls_of_a_burial_stays() -> None:
    job = job_in(S)
    transitions.bury(job_queue(), items=ALL(), now=T0)
    transitions.replay(ALL(), now=T0)
    assert transitions.bury(job_queue(), items=ALL(), now=T0 + 2 * MINUTE) == 0
    assert Job.objects.get() == job


def test_fresh_keys_need_no_tombstone() -> None:
    Job.objects.filter(pk=job_in(S).pk).update(idempotency_key="auto:1")
    assert transitions.bury(job_queue(), items=ALL(), now=T0) == 1
    assert not Tombstone.objects.exists()


class TestReclaim:
    def test_a_lost_item_runs_again_at_once(self) -> None:
        job = job_in(X, attempts=1, waits_for="rate:x")
        assert transitions.reclaim(job_queue(), now=T0 + 2 * MINUTE) == 1
        job.refresh_from_db()
        assert (job.status, job.due_at, job.attempts) == (R, T0 + 2 * MINUTE, 1)
        assert (job.last_code, job.waits_for, job.leased_by) == ("lost", "", "")
        lost = Attempt.objects.get()
        assert (lost.item_id, lost.number, lost.outcome, lost.worker) == (job.pk, 1, "lost", "w")

    def test_a_lease_that_still_runs_is_left_alone(self) -> None:
        job_in(X)
        assert transitions.reclaim(job_queue(), now=T0 + MINUTE) == 0

    @pytest.mark.parametrize(
        ("attempts", "max_retries", "dies"),
        [(3, None, False), (4, None, True), (1, 0, True), (5, 5, False), (6, 5, True)],
    )
    def test_the_last_attempt_lost_is_a_dead_letter(self, attempts: int, max_retries: int | None, dies: bool) -> None:
        job = job_in(X, attempts=attempts, runs=attempts, max_retries=max_retries)
        transitions.reclaim(job_queue(), now=T0 + 2 * MINUTE)
        job.refresh_from_db()
        assert job.status == (D if dies else R)
        assert job.dead_at == (T0 + 2 * MINUTE if dies else None)

    def test_a_crash_cannot_loop_for_ever(self) -> None:
        job = job_in(P, attempts=0, runs=0)
        for runs in range(1, 10):
            now = T0 + runs * timedelta(hours=1)
            taken = Job.objects.filter(pk=job.pk, status__in=(P, R))
            if not taken.update(
                status=X, lease_token=uuid.uuid4(), leased_until=now, attempts=runs, runs=runs, leased_by="w"
            ):
                break
            transitions.reclaim(job_queue(), now=now + MINUTE)
        job.refresh_from_db()
        assert (job.status, job.attempts) == (D, 4)


class TestRelease:
    def test_what_was_not_begun_is_as_if_it_had_not_been_claimed(self) -> None:
        first, again = job_in(X, attempts=1, runs=1), job_in(X, attempts=2, runs=2)
        assert transitions.release(Job, items=[first, again], now=T0) == 2
        first.refresh_from_db()
        again.refresh_from_db()
        assert [(job.status, job.attempts, job.runs) for job in (first, again)] == [(P, 0, 0), (R, 1, 1)]
        assert first.due_at == T0 - MINUTE
        assert not Attempt.objects.exists()

    def test_a_lost_lease_releases_nothing(self) -> None:
        job = job_in(X)
        Job.objects.update(lease_token=uuid.uuid4())
        assert transitions.release(Job, items=[job], now=T0) == 0
        job.refresh_from_db()
        assert job.status == X


def test_only_an_uncertain_item_can_be_confirmed() -> None:
    job = job_in(R)
    assert transitions.confirm(Job, item_id=job.pk, now=T0) is False
    Job.objects.update(uncertain_at=T0)
    assert transitions.confirm(Job, item_id=job.pk, now=T0) is True
    assert transitions.confirm(Job, item_id=job.pk, now=T0) is False
    job.refresh_from_db()
    assert (job.status, job.uncertain_at, job.succeeded_at) == (S, None, T0)


class TestTheDatabaseRefuses:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"status": "sent"},
            {"status": ""},
            {"status": "processing"},
            {"status": "processing", "lease_token": uuid.UUID(int=7)},
            {"status": "processing", "leased_until": T0},
            {"lease_token": uuid.UUID(int=7)},
            {"leased_until": T0},
            {"lease_token": uuid.UUID(int=7), "leased_until": T0},
            {"status": "dead_letter", "lease_token": uuid.UUID(int=7), "leased_until": T0},
            {"priority": 4},
            {"priority": -1},
            {"attempts": -1},
            {"runs": -1},
            {"version": -1},
            {"idempotency_key": "taken"},
        ],
        ids=str,
    )
    def test_what_cannot_be(self, wrong: dict[str, Any], jobs: MakeJobs) -> None:
        Job.objects.create(idempotency_key="taken")
        (job,) = jobs(1)
        with pytest.raises(IntegrityError), transaction.atomic():
            Job.objects.filter(pk=job.pk).update(**wrong)

    def test_two_that_run_in_one_lane(self, jobs: MakeJobs) -> None:
        one, other = jobs(2, model=LanedJob, lane="order 7")
        lease = {"status": X, "leased_until": T0}
        LanedJob.objects.filter(pk=one.pk).update(lease_token=uuid.UUID(int=7), **lease)
        with pytest.raises(IntegrityError), transaction.atomic():
            LanedJob.objects.filter(pk=other.pk).update(lease_token=uuid.UUID(int=7), **lease)
        LanedJob.objects.filter(pk=other.pk).update(lease_token=uuid.UUID(int=7), lane="order 8", **lease)

    def test_any_number_without_a_lane_may_run(self, jobs: MakeJobs) -> None:
        jobs(3, model=LanedJob)
        LanedJob.objects.update(status=X, lease_token=uuid.UUID(int=7), leased_until=T0)
