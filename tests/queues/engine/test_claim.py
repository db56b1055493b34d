"""Claim: what is due, most urgent first, to one worker each, its attempt counted; with lanes one of each."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections, transaction

from queues.engine import claim, transitions
from queues.engine.states import Priority, Status
from tests.queues.engine.conftest import T0, MakeJobs, job_queue
from tests.queues.engine.threads import together
from tests.samplequeue.models import Job, LanedJob

MINUTE = timedelta(minutes=1)


def take(limit: int = 50, *, worker: str = "w", model: type = Job, now: datetime = T0, **more: object) -> list[Job]:
    return claim.claim(model, limit=limit, worker=worker, now=now, **more)


@pytest.mark.django_db
class TestWhatIsTaken:
    def test_a_claimed_item_is_leased_and_its_attempt_is_counted(self, jobs: MakeJobs) -> None:
        jobs(1, attempts=2, runs=5, version=9, note="kept", data={"a": [1]}, moment=T0)
        (job,) = take()
        assert (job.status, job.attempts, job.runs, job.version) == ("processing", 3, 6, 10)
        assert (job.leased_until, job.leased_by) == (T0 + claim.LEASE, "w")
        assert job.lease_token is not None
        stored = Job.objects.get()
        assert {f.attname: getattr(job, f.attname) for f in Job._meta.concrete_fields} == {
            f.attname: getattr(stored, f.attname) for f in Job._meta.concrete_fields
        }

    def test_the_most_urgent_first_then_the_longest_due_then_the_oldest(self, jobs: MakeJobs) -> None:
        wanted = [
            jobs(1, priority=priority, due_at=T0 - age * MINUTE)[0].pk
            for priority in Priority.values
            for age in (3, 2, 2, 1)
        ]
        Job.objects.filter(pk__in=wanted[::2]).update(status=Status.RETRYING)
        assert [job.pk for job in take(5)] == wanted[:5]
        assert [job.pk for job in take(50)] == wanted[5:]

    def test_what_is_not_due_yet_waits(self, jobs: MakeJobs) -> None:
        jobs(1, due_at=T0 + timedelta(microseconds=1), priority=Priority.URGENT)
        (due,) = jobs(1, due_at=T0, priority=Priority.LOW)
        assert [job.pk for job in take()] == [due.pk]

    def test_what_has_expired_is_not_run_even_before_it_is_swept(self, jobs: MakeJobs) -> None:
        jobs(1, expires_at=T0)
        (fresh,) = jobs(1, expires_at=T0 + timedelta(microseconds=1), key="fresh")
        assert [job.pk for job in take(without_kinds=["x"])] == [fresh.pk]
        jobs(1, model=LanedJob, lane="a", expires_at=T0)
        (behind,) = jobs(1, model=LanedJob, lane="a", key="behind")
        assert [job.pk for job in take(model=LanedJob)] == [behind.pk]

    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.CANCELLED, Status.DEAD_LETTER])
    def test_what_is_over_is_not_taken(self, jobs: MakeJobs, status: Status) -> None:
        jobs(1, status=status)
        assert take() == []

    def test_no_more_than_the_limit(self, jobs: MakeJobs) -> None:
        for priority in Priority.values:
            jobs(3, priority=priority)
        assert [len(take(limit)) for limit in (1, 2, 4, 10)] == [1, 2, 4, 5]
        assert Job.objects.filter(status=Status.PROCESSING).count() == 12

    def test_paused_kinds_stay(self, jobs: MakeJobs) -> None:
        jobs(2, kind="it's %s paused", priority=Priority.URGENT)
        jobs(1, kind="other")
        assert [job.kind for job in take(without_kinds=["it's %s paused", "x"])] == ["other"]
        assert len(take()) == 2

    def test_a_claimed_item_is_not_claimed_again_until_it_is_reclaimed(self, jobs: MakeJobs) -> None:
        jobs(1)
        (first,) = take(worker="a")
        assert take(worker="b") == []
        transitions.reclaim(job_queue(), now=T0 + claim.LEASE + MINUTE)
        (second,) = take(worker="b", now=T0 + claim.LEASE + MINUTE)
        assert second.lease_token != first.lease_token
        assert (second.attempts, second.leased_by) == (2, "b")

    def test_a_database_default_for_due_is_due_now(self) -> None:
        Job.objects.create(idempotency_key="k")
        assert len(take(now=datetime.now(UTC) + timedelta(seconds=1))) == 1


@pytest.mark.django_db
class TestRenewal:
    def test_a_lease_is_prolonged_while_it_is_held(self, jobs: MakeJobs) -> None:
        jobs(3)
        one, lost, over = take()
        Job.objects.filter(pk=over.pk).update(status=Status.SUCCEEDED, lease_token=None, leased_until=None)
        transitions.release(Job, items=[lost], now=T0)
        take(worker="other")
        later = T0 + timedelta(seconds=20)
        assert claim.renew(Job, items=[one, lost, over], now=later) == {one.pk}
        one.refresh_from_db()
        lost.refresh_from_db()
        assert one.leased_until == later + claim.LEASE
        assert lost.leased_until == T0 + claim.LEASE


@pytest.mark.django_db(transaction=True)
class TestWorkersAtOnce:
    @pytest.mark.parametrize("workers", [2, 8])
    def test_no_two_get_the_same_item(self, jobs: MakeJobs, workers: int) -> None:
        jobs(400)

        def work(name: str) -> list[tuple[int, str]]:
            mine = []
            while taken := take(7, worker=name):
                mine += [(job.pk, job.leased_by) for job in taken]
            return mine

        shares = together(*[lambda name=f"w{number}": work(name) for number in range(workers)])

        taken = [pk for share in shares for pk, _ in share]
        assert len(taken) == len(set(taken))
        assert Job.objects.filter(attempts=1, runs=1, status=Status.PROCESSING).count() == len(taken)
        assert Job.objects.exclude(status=Status.PROCESSING).count() == 400 - len(taken)
        if workers == 2:
            assert len(taken) == 400

    def test_what_another_is_just_taking_is_not_waited_for(self, jobs: MakeJobs, postgres: bool) -> None:
        if not postgres:
            pytest.skip("SQLite has one writer at a time")
        jobs(10)
        taken, may_end = threading.Event(), threading.Event()

        def slow() -> None:
            with transaction.atomic():
                take(4, worker="slow")
                taken.set()
                may_end.wait(30)
            connections.close_all()

        thread = threading.Thread(target=slow)
        thread.start()
        assert taken.wait(30)
        mine = take(50, worker="fast")
        may_end.set()
        thread.join()
        assert len(mine) == 6
        assert Job.objects.filter(leased_by="slow").count() == 4


@pytest.mark.django_db
class TestLanes:
    def test_one_item_a_lane(self, jobs: MakeJobs) -> None:
        jobs(3, model=LanedJob, lane="a")
        jobs(2, model=LanedJob, lane="b", key="b")
        jobs(2, model=LanedJob, key="none")
        taken = take(model=LanedJob)
        assert sorted(str(job.lane) for job in taken) == ["None", "None", "a", "b"]
        assert take(model=LanedJob) == []

    def test_the_next_of_a_lane_follows_when_the_first_is_settled(self, jobs: MakeJobs) -> None:
        first, second = jobs(2, model=LanedJob, lane="a")
        assert take(model=LanedJob)[0].pk == first.pk
        done = {"status": Status.SUCCEEDED, "lease_token": None, "leased_until": None}
        LanedJob.objects.filter(pk=first.pk).update(**done)
        assert take(model=LanedJob)[0].pk == second.pk

    @pytest.mark.parametrize("more_urgent", [True, False])
    def test_who_waits_for_its_retry_blocks_nobody(self, jobs: MakeJobs, more_urgent: bool) -> None:
        waiting, ready = jobs(2, model=LanedJob, lane="a")
        LanedJob.objects.filter(pk=waiting.pk).update(
            status=Status.RETRYING, due_at=T0 + MINUTE, priority=0 if more_urgent else 2
        )
        assert [job.pk for job in take(model=LanedJob)] == [ready.pk]

    def test_a_paused_kind_blocks_no_other_kind_of_its_lane(self, jobs: MakeJobs) -> None:
        jobs(1, model=LanedJob, lane="a", kind="paused")
        (ready,) = jobs(1, model=LanedJob, lane="a", kind="x")
        assert [job.pk for job in take(model=LanedJob, without_kinds=["paused"])] == [ready.pk]

    def test_a_full_lane_does_not_use_up_the_limit(self, jobs: MakeJobs) -> None:
        jobs(30, model=LanedJob, lane="a", due_at=T0 - 10 * MINUTE)
        jobs(5, model=LanedJob, key="other", lane="b")
        assert [job.lane for job in take(2, model=LanedJob)] == ["a", "b"]


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_never_run_two_of_a_lane_and_leave_none(jobs: MakeJobs) -> None:
    for lane in range(12):
        jobs(10, model=LanedJob, lane=f"lane {lane}", key=f"lane-{lane}", due_at=T0 - timedelta(seconds=lane % 5))
    running: set[str] = set()
    lock = threading.Lock()

    def work(name: str) -> int:
        done = 0
        while LanedJob.objects.filter(status__in=("pending", "retrying")).exists():
            taken = take(5, worker=name, model=LanedJob)
            with lock:
                lanes = [str(job.lane) for job in taken]
                assert not running & set(lanes)
                assert len(lanes) == len(set(lanes))
                running.update(lanes)
            for job in taken:
                with lock:
                    running.discard(str(job.lane))
                LanedJob.objects.filter(pk=job.pk, lease_token=job.lease_token).update(
                    status=Status.SUCCEEDED, lease_token=None, leased_until=None
                )
            done += len(taken)
        return done

    shares = together(*[lambda name=f"w{number}": work(name) for number in range(8)])

    assert sum(shares) == 120
    assert LanedJob.objects.filter(status=Status.SUCCEEDED, attempts=1).count() == 120
