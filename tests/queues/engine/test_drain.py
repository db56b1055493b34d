"""The drain in one process: every item ends once, whatever its handler does, and nobody is harmed by another."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queues.engine import claim, drain, transitions
from queues.engine.attempts import Attempt
from queues.engine.drain import Drain
from queues.engine.outcomes import Cancel, Permanent, Snooze, Transient
from queues.engine.pauses import Pause
from queues.engine.policy import RetryPolicy
from queues.engine.registry import Done, Limit
from queues.engine.states import Priority
from tests.queues.engine.conftest import T0, MakeJobs, job_queue
from tests.queues.engine.threads import together
from tests.samplequeue.models import Effect, Job, LanedJob

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
PATIENCE = 20.0


class Clock:
    """The drain's clock, moved by the test."""

    def __init__(self, at: datetime = T0) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def until(true: Callable[[], bool]) -> None:
    """Look until it is so; other threads make it so."""
    give_up = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up, "it never came to that"


def statuses() -> Counter[str]:
    return Counter(Job.objects.values_list("status", flat=True))


def run(handler: Callable[[Any, Any], Any], **parts: Any) -> Counter[str]:
    return Drain(job_queue(handler, **parts), clock=Clock()).run()


def test_everything_that_is_due_runs_once_and_the_drain_ends(jobs: MakeJobs) -> None:
    jobs(130)
    jobs(1, key="later", due_at=T0 + SECOND)
    ran: list[int] = []
    counts = run(lambda item, context: ran.append(item.pk))
    assert counts == {"ack": 130}
    assert len(ran) == len(set(ran)) == 130
    assert statuses() == {"succeeded": 130, "pending": 1}
    assert not Job.objects.filter(status="succeeded").exclude(attempts=1, runs=1).exists()
    assert Attempt.objects.count() == 130


def test_one_hand_works_in_the_order_of_urgency(jobs: MakeJobs) -> None:
    low, high = jobs(3, priority=Priority.LOW), jobs(3, priority=Priority.HIGH, key="high")
    ran: list[int] = []
    run(lambda item, context: ran.append(item.pk), hands=1, batch=2)
    assert ran == [job.pk for job in high + low]


def test_nothing_due_nothing_done() -> None:
    assert run(lambda item, context: None) == {}


def test_as_many_hands_as_the_queue_has_and_no_more(jobs: MakeJobs) -> None:
    jobs(40)
    all_three, lock, working, most, begun = threading.Barrier(3), threading.Lock(), [0], [0], [0]

    def work(item: Job, context: Any) -> None:
        with lock:
            working[0] += 1
            begun[0] += 1
            most[0] = max(most[0], working[0])
            among_the_first = begun[0] <= 3
        if among_the_first:
            all_three.wait(PATIENCE)
        with lock:
            working[0] -= 1

    assert run(work, hands=3) == {"ack": 40}
    assert most == [3]


def test_each_items_fault_is_its_own(jobs: MakeJobs) -> None:
    said: dict[str, Any] = {
        "good": None,
        "words": Done(words="thanks", via="x"),
        "bug": ValueError("bug"),
        "interrupt": KeyboardInterrupt(),
        "exit": SystemExit(1),
        "generator": GeneratorExit(),
        "transient": Transient("t"),
        "endless": Transient("e", retry_after=timedelta.max),
        "endless uncharged": Transient("e", retry_after=timedelta.max, charged=False),
        "permanent": Permanent("p"),
        "cancel": Cancel("c"),
        "snooze": Snooze("s", until=T0 + 60 * SECOND),
        "endless snooze": Snooze("s", until=datetime.max.replace(tzinfo=T0.tzinfo)),
        "surrogate": Transient("\udcff", code="\udcff"),
        "nul": Done(words="\x00", fields={"answer": "\x00"}),
        "no text": Done(words="ok", fields={"answer_data": {"a": "\ud800"}}),
    }
    for note in said:
        jobs(2, key=note, note=note, max_retries=9)

    def work(item: Job, context: Any) -> Any:
        if isinstance(said[item.note], BaseException):
            raise said[item.note]
        return said[item.note]

    run(work)

    ends = {
        "succeeded": {"good", "words", "nul", "no text"},
        "dead_letter": {"permanent"},
        "cancelled": {"cancel"},
    }
    for status, notes in ends.items():
        assert set(Job.objects.filter(status=status).values_list("note", flat=True)) == notes
    rest = Job.objects.exclude(status__in=ends)
    assert set(rest.values_list("status", flat=True)) == {"retrying"}
    assert rest.count() == 2 * (len(said) - 6)
    assert Attempt.objects.count() == 2 * len(said)


def test_effects_commit_with_the_ack_and_one_that_fails_harms_only_itself(jobs: MakeJobs) -> None:
    taken = jobs(20)
    bad = taken[7].pk

    def effect(item: Job) -> Callable[[], None]:
        def leave() -> None:
            Effect.objects.create(name=str(item.pk))
            if item.pk == bad:
                raise ZeroDivisionError("in the effect")

        return leave

    run(lambda item, context: Done(effect=effect(item)))

    assert {int(one.name) for one in Effect.objects.all()} == {job.pk for job in taken} - {bad}
    assert Effect.objects.count() == 19
    failed = Job.objects.get(pk=bad)
    assert (failed.status, failed.last_code) == ("retrying", "bug ZeroDivisionError")
    assert statuses() == {"succeeded": 19, "retrying": 1}


def test_a_queues_own_rule_that_fails_harms_only_its_item(jobs: MakeJobs) -> None:
    taken = jobs(10, max_retries=0)

    def limits(item: Job) -> list[Limit]:
        if item.pk == taken[3].pk:
            raise LookupError("malformed")
        return []

    def on_dead(item: Job, outcome: Any) -> None:
        raise RuntimeError("in on_dead")

    def work(item: Job, context: Any) -> None:
        if item.pk == taken[5].pk:
            raise Permanent("no")

    run(work, limits=limits, on_dead=on_dead)

    assert statuses() == {"succeeded": 8, "dead_letter": 2}
    assert set(Job.objects.filter(status="dead_letter").values_list("pk", flat=True)) == {taken[3].pk, taken[5].pk}


def test_a_preparation_that_fails_charges_nobody(jobs: MakeJobs) -> None:
    jobs(5)

    def prepare(items: Any, now: datetime) -> None:
        raise RuntimeError("in prepare")

    run(lambda item, context: None, prepare=prepare)
    assert set(Job.objects.values_list("status", "attempts")) == {("retrying", 0)}


def test_what_is_prepared_reaches_every_handler(jobs: MakeJobs) -> None:
    jobs(5)
    seen: list[Any] = []
    run(lambda item, context: seen.append(item.pk in context), prepare=lambda items, now: {item.pk for item in items})
    assert seen == [True] * 5


def test_each_hand_closes_what_it_opened(jobs: MakeJobs) -> None:
    jobs(30)
    closed: list[int] = []
    run(lambda item, context: None, hands=3, close=lambda: closed.append(threading.get_ident()))
    assert 1 <= len(set(closed)) == len(closed) <= 3


def test_a_closed_gate_lets_nothing_through(jobs: MakeJobs) -> None:
    jobs(3)
    assert run(lambda item, context: None, gate=lambda now: now + 60 * SECOND) == {}
    assert set(Job.objects.values_list("status", "attempts")) == {("pending", 0)}


def test_expired_items_are_cancelled_and_not_run(jobs: MakeJobs) -> None:
    jobs(2, expires_at=T0 - SECOND)
    jobs(1, key="in time", expires_at=T0 + SECOND)
    assert run(lambda item, context: None) == {"ack": 1, "expired": 2}


def test_lost_items_of_another_worker_are_taken_back_and_run(jobs: MakeJobs) -> None:
    jobs(3)
    claim.claim(Job, limit=3, worker="dead", now=T0 - 31 * SECOND)
    assert run(lambda item, context: None) == {"reclaimed": 3, "ack": 3}
    assert set(Job.objects.values_list("attempts", flat=True)) == {2}


def test_a_resident_drain_sees_retries_fall_due_and_work_that_comes_later(jobs: MakeJobs) -> None:
    first, second = jobs(2, due_at=timezone.now())
    tries: Counter[int] = Counter()

    def work(item: Job, context: Any) -> None:
        tries[item.pk] += 1
        if item.pk == first.pk and tries[item.pk] < 3:
            raise Transient("again")
        if item.pk == second.pk:
            Job.objects.create(idempotency_key="later", due_at=timezone.now() + 0.2 * SECOND)

    queue = job_queue(work, policy=RetryPolicy(0.1, 0.2))
    began = time.monotonic()
    counts = Drain(queue, stopping=lambda: statuses()["succeeded"] == 3).run(resident=10 * SECOND)

    assert counts == {"ack": 3, "retry": 2}
    assert time.monotonic() - began < 9
    assert tries[first.pk] == 3


def test_a_resident_drain_goes_home_when_nothing_comes(jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LINGER_SECONDS", 0.3)
    monkeypatch.setattr(drain, "POLL_SECONDS", 0.05)
    jobs(1, due_at=timezone.now() + timedelta(minutes=5))
    began = time.monotonic()
    assert Drain(job_queue()).run(resident=30 * SECOND) == {}
    assert 0.2 < time.monotonic() - began < 15


@pytest.mark.parametrize("kind", ["", "x"])
def test_a_paused_queue_hands_out_nothing_and_does_not_spin(
    jobs: MakeJobs, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "POLL_SECONDS", 0.2)
    jobs(3, kind="x", due_at=timezone.now() - SECOND)
    Pause.objects.create(queue="job", kind=kind, reason="r", paused_at=T0)
    with CaptureQueriesContext(connection) as queries:
        assert Drain(job_queue()).run(resident=SECOND) == {}
    assert statuses() == {"pending": 3}
    assert len(queries) < 60  # about five looks of a few statements


def test_a_pause_holds_for_what_is_claimed_but_not_begun(jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "KEEP_SECONDS", 0.0)
    jobs(10)

    def work(item: Job, context: Any) -> None:
        Pause.objects.get_or_create(queue="job", kind="", defaults={"reason": "r", "paused_at": T0})
        until(lambda: statuses()["pending"] == 9)

    assert run(work, hands=1) == {"ack": 1}
    assert set(Job.objects.filter(status="pending").values_list("attempts", "runs")) == {(0, 0)}


def test_a_drain_that_is_told_to_stop_finishes_what_it_began_and_gives_back_the_rest(jobs: MakeJobs) -> None:
    jobs(40)
    begun = threading.Event()

    def work(item: Job, context: Any) -> None:
        begun.set()

    Drain(job_queue(work, hands=2), clock=Clock(), stopping=begun.is_set).run()

    counted = statuses()
    assert set(counted) == {"succeeded", "pending"}
    assert counted["pending"] > 0
    assert set(Job.objects.filter(status="pending").values_list("attempts", "lease_token")) == {(0, None)}


def test_a_drain_ends_when_its_last_handler_does_and_leaves_no_thread(
    jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "KEEP_SECONDS", 0.0)
    jobs(4)
    before, looks = threading.active_count(), [0]
    began = threading.Barrier(4)
    ending = threading.Event()
    kept = Drain._keep

    def keep(self: Drain) -> None:
        kept(self)
        looks[0] += ending.is_set()

    monkeypatch.setattr(Drain, "_keep", keep)

    def work(item: Job, context: Any) -> None:
        Pause.objects.get_or_create(queue="job", kind="", defaults={"reason": "r", "paused_at": T0})
        began.wait(PATIENCE)
        ending.set()
        until(lambda: looks[0] > 5)

    start = time.monotonic()
    assert Drain(job_queue(work), clock=Clock(), stopping=ending.is_set).run() == {"ack": 4}
    assert threading.active_count() == before
    assert time.monotonic() - start < 15


class TestLeases:
    @pytest.fixture(autouse=True)
    def _look_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drain, "KEEP_SECONDS", 0.0)
        monkeypatch.setattr(drain, "SWEEP_SECONDS", 0.0)

    def test_a_handler_slower_than_its_lease_keeps_it(self, jobs: MakeJobs) -> None:
        jobs(1)
        clock = Clock()

        def work(item: Job, context: Any) -> None:
            for _ in range(6):
                clock.at += 25 * SECOND
                until(lambda: Job.objects.get().leased_until == clock.at + claim.LEASE)
                assert transitions.reclaim(job_queue(), now=clock.at) == 0

        assert Drain(job_queue(work), clock=clock).run() == {"ack": 1}
        assert Job.objects.get().attempts == 1

    @pytest.mark.parametrize("hours", [1, -1])
    def test_a_clock_that_jumps_repeats_nothing(self, jobs: MakeJobs, hours: int) -> None:
        jobs(6, due_at=T0 - timedelta(hours=2))
        clock = Clock()
        ran: list[int] = []

        def work(item: Job, context: Any) -> None:
            ran.append(item.pk)
            if len(ran) == 2:
                clock.at += timedelta(hours=hours)
                until(lambda: Job.objects.get(pk=item.pk).leased_until == clock.at + claim.LEASE)

        assert Drain(job_queue(work, hands=2), clock=clock).run() == {"ack": 6}
        assert len(ran) == 6
        assert set(Job.objects.values_list("attempts", flat=True)) == {1}

    def test_what_another_worker_took_back_is_not_begun(self, jobs: MakeJobs) -> None:
        jobs(10)
        ran: list[int] = []

        def work(item: Job, context: Any) -> None:
            ran.append(item.pk)
            if len(ran) == 1:  # as if this process had stood still and another one swept meanwhile
                others = Job.objects.exclude(pk=item.pk).filter(leased_by__isnull=False)
                others.update(status="succeeded", lease_token=None, leased_until=None, leased_by="")
                until(lambda: Job.objects.get(pk=item.pk).version < 3 and machine.held_until[others[0].pk] == 0)

        machine = Drain(job_queue(work, hands=1), clock=Clock())
        machine.run()
        assert len(ran) == 1


def test_lanes_never_run_two_at_once_and_all_get_their_turn(jobs: MakeJobs) -> None:
    for lane in range(4):
        jobs(8, model=LanedJob, lane=f"lane {lane}", key=f"lane-{lane}")
    lock, running, doubled = threading.Lock(), set(), []

    def work(item: LanedJob, context: Any) -> None:
        with lock:
            if item.lane in running:
                doubled.append(item.lane)
            running.add(item.lane)
        LanedJob.objects.filter(pk=item.pk).exists()
        with lock:
            running.discard(item.lane)

    queue = job_queue(work, model=LanedJob)
    together(*[lambda: Drain(queue, clock=Clock()).run(resident=2 * SECOND)] * 2)

    assert doubled == []
    assert LanedJob.objects.filter(status="succeeded", attempts=1).count() == 32


def test_four_workers_at_once_run_each_item_once(jobs: MakeJobs) -> None:
    jobs(400)
    ran: list[int] = []
    queue = job_queue(lambda item, context: ran.append(item.pk), batch=10)

    counts = together(
        *[lambda number=number: Drain(queue, clock=Clock(), worker=f"w{number}").run() for number in range(4)]
    )

    assert sum(count["ack"] for count in counts) == 400
    assert sorted(ran) == sorted(Job.objects.values_list("pk", flat=True))
    assert Job.objects.filter(status="succeeded", attempts=1).count() == 400
