"""Settling: what an outcome means, one compare-and-set for many, all or nothing with the effects, and the history."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from queues.engine import claim, settle, transitions
from queues.engine.attempts import Attempt
from queues.engine.outcomes import WORDS_MAX, Cancel, Permanent, Snooze, Transient, Uncertain
from queues.engine.registry import Done, Queue
from tests.queues.engine.conftest import T0, MakeJobs, job_queue
from tests.samplequeue.models import Effect, Job

pytestmark = pytest.mark.django_db

SECOND, LATER = timedelta(seconds=1), T0 + timedelta(seconds=3)
QUEUE = job_queue()


def claimed(jobs: MakeJobs, count: int = 1, **fields: Any) -> list[Job]:
    jobs(count, **fields)
    return claim.claim(Job, limit=count, worker="w", now=T0)


def end(job: Job, result: Done | BaseException | None, *, queue: Queue = QUEUE) -> settle.Settlement:
    return settle.decide(queue, job, result, started_at=T0, now=LATER)


def finish(job: Job, result: Done | BaseException | None = None, *, queue: Queue = QUEUE) -> Job:
    settle.settle(queue, [end(job, result, queue=queue)])
    return Job.objects.get(pk=job.pk)


class TestWhatAnOutcomeMeans:
    @pytest.mark.parametrize(
        ("result", "status", "due_in", "attempts", "waits_for"),
        [
            (None, "succeeded", None, 1, ""),
            (Done(words="250 ok", via="smtp"), "succeeded", None, 1, ""),
            (Transient("451"), "retrying", 1, 1, ""),
            (Transient("451", retry_after=120 * SECOND), "retrying", 120, 1, ""),
            (Transient("451", retry_after=0 * SECOND), "retrying", 0, 1, ""),
            (Transient("421", charged=False), "retrying", 1, 0, ""),
            (Transient("421", charged=False, retry_after=9 * SECOND), "retrying", 9, 0, ""),
            (Uncertain("no answer", retry_after=900 * SECOND), "retrying", 900, 1, "uncertain"),
            (Permanent("550"), "dead_letter", None, 1, ""),
            (Snooze("full", until=T0 + 60 * SECOND, code="rate:x"), "retrying", 57, 0, "rate:x"),
            (Cancel("suppressed"), "cancelled", None, 1, ""),
            (ValueError("bug"), "retrying", 1, 1, ""),
            (KeyboardInterrupt(), "retrying", 1, 1, ""),
            (SystemExit(3), "retrying", 1, 1, ""),
        ],
        ids=repr,
    )
    def test_state_time_and_attempts(
        self,
        jobs: MakeJobs,
        result: Done | BaseException | None,
        status: str,
        due_in: int | None,
        attempts: int,
        waits_for: str,
    ) -> None:
        (job,) = claimed(jobs)
        after = finish(job, result)
        assert (after.status, after.attempts, after.runs, after.waits_for) == (status, attempts, 1, waits_for)
        assert after.due_at == (T0 - 60 * SECOND if due_in is None else LATER + due_in * SECOND)
        assert (after.lease_token, after.leased_until, after.leased_by) == (None, None, "")
        assert after.version == job.version + 1
        assert after.finished_at == (LATER if status in ("succeeded", "cancelled", "dead_letter") else None)
        assert after.uncertain_at == (LATER if isinstance(result, Uncertain) else None)

    def test_a_whole_life_by_the_schedule(self, jobs: MakeJobs) -> None:
        (job,) = jobs(1)
        now, waits = T0, []
        while job.status != "dead_letter":
            (job,) = claim.claim(Job, limit=1, worker="w", now=now)
            settle.settle(QUEUE, [settle.decide(QUEUE, job, Transient("no"), started_at=now, now=now)])
            job = Job.objects.get()
            if job.status == "retrying":
                waits.append((job.due_at - now).total_seconds())
                assert claim.claim(Job, limit=1, worker="w", now=job.due_at - SECOND / 1000) == []
                now = job.due_at
        assert waits == [1, 5, 30]
        assert (job.attempts, job.runs, job.dead_at) == (4, 4, now)
        assert [row.number for row in Attempt.objects.order_by("pk")] == [1, 2, 3, 4]

    @pytest.mark.parametrize(("max_retries", "runs"), [(0, 1), (1, 2), (5, 6)])
    def test_an_item_may_have_its_own_number_of_retries(self, jobs: MakeJobs, max_retries: int, runs: int) -> None:
        (job,) = jobs(1, max_retries=max_retries)
        now = T0
        while job.status != "dead_letter":
            (job,) = claim.claim(Job, limit=1, worker="w", now=now)
            settle.settle(QUEUE, [settle.decide(QUEUE, job, Transient("no"), started_at=now, now=now)])
            job = Job.objects.get()
            now = job.due_at
        assert job.runs == runs

    def test_a_snooze_can_be_repeated_for_ever(self, jobs: MakeJobs) -> None:
        (job,) = jobs(1)
        for _ in range(20):
            (job,) = claim.claim(Job, limit=1, worker="w", now=T0)
            job = finish(job, Snooze("full", until=T0))
        assert (job.status, job.attempts, job.runs) == ("retrying", 0, 20)

    def test_uncertainty_outlives_a_retry_and_ends_with_success(self, jobs: MakeJobs) -> None:
        (job,) = claimed(jobs)
        finish(job, Uncertain("?", retry_after=0 * SECOND))
        (job,) = claim.claim(Job, limit=1, worker="w", now=LATER)
        assert finish(job, Transient("451", retry_after=0 * SECOND)).uncertain_at == LATER
        (job,) = claim.claim(Job, limit=1, worker="w", now=LATER)
        assert finish(job).uncertain_at is None

    def test_a_bug_says_what_it_was(self, jobs: MakeJobs) -> None:
        (job,) = claimed(jobs)
        after = finish(job, ZeroDivisionError("by zero"))
        assert (after.last_code, after.last_words) == ("bug ZeroDivisionError", "ZeroDivisionError: by zero")

    @pytest.mark.parametrize("advice", [timedelta.max, timedelta(days=40_000)])
    @pytest.mark.parametrize("charged", [True, False])
    def test_the_other_side_cannot_park_an_item_for_ever(
        self, jobs: MakeJobs, advice: timedelta, charged: bool
    ) -> None:
        (job,) = claimed(jobs)
        assert finish(job, Transient("x", retry_after=advice, charged=charged)).due_at <= LATER + timedelta(days=1)


class TestTheCompareAndSet:
    def test_many_in_one_statement_on_postgresql(
        self, jobs: MakeJobs, postgres: bool, django_assert_max_num_queries: Callable[[int], Any]
    ) -> None:
        taken = claimed(jobs, 50)
        with django_assert_max_num_queries(1 if postgres else 4):
            held = settle.settle(QUEUE, [end(job, None) for job in taken])
        assert held == {job.pk for job in taken}
        assert Job.objects.filter(status="succeeded").count() == Attempt.objects.count() == 50

    def test_a_reclaimed_items_old_token_settles_nothing_and_its_effect_does_not_run(self, jobs: MakeJobs) -> None:
        (old,) = claimed(jobs)
        transitions.reclaim(QUEUE, now=T0 + claim.LEASE + SECOND)
        (new,) = claim.claim(Job, limit=1, worker="other", now=T0 + claim.LEASE + SECOND)
        before = Job.objects.filter(pk=old.pk).values().get()
        history = Attempt.objects.count()

        held = settle.settle(QUEUE, [end(old, Done(effect=lambda: _leave("old")))])

        assert held == set()
        assert Job.objects.filter(pk=old.pk).values().get() == before
        assert Attempt.objects.count() == history
        assert not Effect.objects.exists()
        assert settle.settle(QUEUE, [end(new, Done(effect=lambda: _leave("new")))]) == {new.pk}
        assert [effect.name for effect in Effect.objects.all()] == ["new"]

    def test_a_settlement_holds_once(self, jobs: MakeJobs) -> None:
        (job,) = claimed(jobs)
        assert settle.settle(QUEUE, [end(job, None)]) == {job.pk}
        assert settle.settle(QUEUE, [end(job, Permanent("no"))]) == set()
        assert Job.objects.get().status == "succeeded"

    def test_of_a_group_only_those_whose_lease_holds_are_written(self, jobs: MakeJobs) -> None:
        one, lost, three = claimed(jobs, 3)
        Job.objects.filter(pk=lost.pk).update(lease_token=uuid.uuid4())
        held = settle.settle(
            QUEUE, [end(job, Done(effect=lambda pk=job.pk: _leave(str(pk)))) for job in (one, lost, three)]
        )
        assert held == {one.pk, three.pk}
        assert {effect.name for effect in Effect.objects.all()} == {str(one.pk), str(three.pk)}
        assert set(Attempt.objects.values_list("item_id", flat=True)) == held
        assert Job.objects.get(pk=lost.pk).status == "processing"

    def test_nothing_to_settle(self, django_assert_num_queries: Callable[[int], Any]) -> None:
        with django_assert_num_queries(0):
            assert settle.settle(QUEUE, []) == set()


class TestEffects:
    def test_all_or_nothing(self, jobs: MakeJobs) -> None:
        one, two = claimed(jobs, 2)

        def fail() -> None:
            _leave("half done")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), transaction.atomic():
            settle.settle(QUEUE, [end(one, Done(effect=lambda: _leave("one"))), end(two, Done(effect=fail))])
        assert not Effect.objects.exists()
        assert not Attempt.objects.exists()
        assert Job.objects.filter(status="processing").count() == 2

    def test_what_dead_letters_may_bring_an_effect_with_it(self, jobs: MakeJobs) -> None:
        queue = job_queue(on_dead=lambda item, outcome: lambda: _leave(f"{item.pk} {outcome.code}"))
        one, two = claimed(jobs, 2, max_retries=0)
        finish(one, Permanent("no", code="p"), queue=queue)
        finish(two, Transient("no", code="t"), queue=queue)
        assert [effect.name for effect in Effect.objects.order_by("pk")] == [f"{one.pk} p", f"{two.pk} t"]


class TestAHandlerThatSettlesItself:
    def test_its_work_and_the_settlement_are_one(self, jobs: MakeJobs) -> None:
        (job,) = claimed(jobs)
        with transaction.atomic():
            settle.hold(job)
            _leave("done")
            settled = settle.here(QUEUE, job, Done(words="ok"), started_at=T0, now=LATER)
        assert settled.verdict == "ack"
        assert (Job.objects.get().status, Attempt.objects.get().words) == ("succeeded", "ok")
        assert Effect.objects.count() == 1

    @pytest.mark.parametrize("call", ["hold", "here"])
    def test_who_lost_the_lease_leaves_nothing(self, jobs: MakeJobs, call: str) -> None:
        (job,) = claimed(jobs)
        Job.objects.update(lease_token=uuid.uuid4())
        with pytest.raises(settle.LeaseLost), transaction.atomic():
            _leave("half done")
            if call == "hold":
                settle.hold(job)
            settle.here(QUEUE, job, None, started_at=T0, now=LATER)
        assert not Effect.objects.exists()
        assert not Attempt.objects.exists()
        assert Job.objects.get().status == "processing"


class TestWhatIsWritten:
    def test_the_history_of_a_run(self, jobs: MakeJobs) -> None:
        (job,) = claimed(jobs, runs=4)
        outcome = Transient("451 try later", code="smtp 451")
        outcome.via = "smtp.example.com"
        finish(job, outcome)
        row = Attempt.objects.get()
        assert (row.queue, row.item_id, row.number, row.outcome) == ("job", job.pk, 5, "retry")
        assert (row.code, row.words, row.via, row.worker) == ("smtp 451", "451 try later", "smtp.example.com", "w")
        assert (row.started_at, row.duration_ms, row.charged) == (T0, 3000, True)

    @pytest.mark.parametrize(
        ("result", "outcome", "charged"),
        [
            (None, "ack", True),
            (Snooze("x", until=T0), "snooze", False),
            (Transient("x", charged=False), "retry", False),
            (Permanent("x"), "dead_letter", True),
            (Cancel("x"), "cancel", True),
        ],
        ids=repr,
    )
    def test_what_the_history_calls_it(
        self, jobs: MakeJobs, result: BaseException | None, outcome: str, charged: bool
    ) -> None:
        (job,) = claimed(jobs)
        finish(job, result)
        row = Attempt.objects.get()
        assert (row.outcome, row.charged) == (outcome, charged)

    def test_the_models_own_columns(self, jobs: MakeJobs) -> None:
        one, two = claimed(jobs, 2, answer="before", answer_data={"old": 1})
        assert finish(one, Done(fields={"answer": "id-1", "answer_data": {"a@x": "550 no"}})).answer == "id-1"
        after = finish(two)
        assert (after.answer, after.answer_data) == ("before", {"old": 1})
        assert Job.objects.get(pk=one.pk).answer_data == {"a@x": "550 no"}

    @pytest.mark.parametrize(
        "words", ["null", "1e5", "a\x00b", "\ud800 \udcff", "%s", "'\"\\", "x" * 100_000, "🧑‍🚀" * 3000]
    )
    @pytest.mark.parametrize("kind", [Transient, Permanent, Cancel, ValueError])
    def test_any_words_of_the_other_side(self, jobs: MakeJobs, kind: type[Exception], words: str) -> None:
        (job,) = claimed(jobs)
        after = finish(job, kind(words))
        kept = words.replace("\x00", "\ufffd").replace("\ud800", "\ufffd").replace("\udcff", "\ufffd")
        assert kept[:1000] in after.last_words
        assert len(after.last_words) <= WORDS_MAX
        assert Attempt.objects.get().words == after.last_words

    @pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 1000])
    def test_any_code_and_way(self, jobs: MakeJobs, text: str) -> None:
        (job,) = claimed(jobs)
        outcome = Transient("no", code=f"smtp {text}")
        outcome.via = f"host {text}"
        assert finish(job, outcome).last_code.startswith("smtp ")
        (job,) = claim.claim(Job, limit=1, worker="w", now=LATER + 60 * SECOND)
        assert finish(job, Done(words=f"ok {text}", via=text)).status == "succeeded"

    def test_a_value_the_table_does_not_take_is_refused_whole(self, jobs: MakeJobs, postgres: bool) -> None:
        if not postgres:
            pytest.skip("SQLite does not check lengths")
        (job,) = claimed(jobs)
        with pytest.raises(DatabaseError), transaction.atomic():
            finish(job, Done(fields={"answer": "x" * 51}))
        assert Job.objects.get().status == "processing"


def _leave(name: str) -> None:
    Effect.objects.create(name=name)
