"""Beside the objectives: recovery times, pauses, redrives, schedules, histograms, and the database's plans."""

from __future__ import annotations

import math
import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django_q.models import Schedule, Task
from hypothesis import given
from hypothesis import strategies as st

from analytics import stats
from queues import tasks
from queues.desk import limits_page, operations
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.email.models import EmailMessage
from queues.engine import board, failure_groups, limiter, processes, recurring
from queues.engine.attempts import Attempt
from queues.engine.failure_groups import FailureGroup
from queues.engine.registry import Limit
from queues.engine.states import Status
from queues.monitor import histogram, objective, recovery, rollup, schedules, sizes
from queues.monitor.models import PauseSpan, Recovery, ScheduleState, SloMinute, StaleMinute
from tests.queues.desk.people import mail, person

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
CAUSE = "00000000000000aa"


def fails(row: EmailMessage, *, at: datetime) -> None:
    """The mail failed then, and its group was seen."""
    EmailMessage.objects.filter(pk=row.pk).update(fingerprint=CAUSE)
    seen = failure_groups.Failure(fingerprint=CAUSE, code="timeout", words="no answer", kind="", at=at)
    failure_groups.seen("email", [seen])


def done(row: EmailMessage, *, at: datetime) -> None:
    """It succeeded then."""
    EmailMessage.objects.filter(pk=row.pk).update(status=Status.SUCCEEDED, fingerprint="", succeeded_at=at)


@pytest.mark.django_db
class TestRecovery:
    """From a group's first failure until no item of it is affected."""

    def test_a_spell_ends_with_its_last_item(self):
        first, second = mail(Status.RETRYING), mail(Status.DEAD_LETTER)
        fails(first, at=NOW)
        fails(second, at=NOW + 2 * MINUTE)
        assert recovery.look(now=NOW + 3 * MINUTE) == {"began": 1, "ended": 0}
        done(first, at=NOW + 4 * MINUTE)
        recovery.look(now=NOW + 5 * MINUTE)
        assert Recovery.objects.get().recovered_at is None
        times = recovery.times(start=NOW, end=NOW + MINUTE, now=NOW + 5 * MINUTE)
        assert (times.open, times.median, times.longest_open) == (1, None, 5 * MINUTE)
        EmailMessage.objects.filter(pk=second.pk).update(status=Status.CANCELLED)  # staff discarded it
        recovery.look(now=NOW + 9 * MINUTE)
        recovery.look(now=NOW + 10 * MINUTE)
        row = Recovery.objects.get()
        assert (row.failed_at, row.recovered_at) == (NOW, NOW + 9 * MINUTE)

    def test_the_same_cause_again_is_another_spell(self):
        row = mail(Status.RETRYING)
        fails(row, at=NOW)
        recovery.look(now=NOW + MINUTE)
        done(row, at=NOW + MINUTE)
        recovery.look(now=NOW + 2 * MINUTE)
        for minute in (3, 4):
            assert recovery.look(now=NOW + minute * MINUTE) == {"began": 0, "ended": 0}
        again = mail(Status.RETRYING)
        fails(again, at=NOW + 30 * MINUTE)
        recovery.look(now=NOW + 31 * MINUTE)
        spells = Recovery.objects.order_by("failed_at").values_list("failed_at", "recovered_at")
        assert list(spells) == [(NOW, NOW + 2 * MINUTE), (NOW + 30 * MINUTE, None)]

    def test_what_failed_and_recovered_between_two_looks_counts(self):
        row = mail(Status.RETRYING)
        fails(row, at=NOW)
        done(row, at=NOW + SECOND)
        assert recovery.look(now=NOW + MINUTE) == {"began": 1, "ended": 1}
        assert FailureGroup.objects.count() == 1

    def test_open_spells_are_not_dropped_from_the_quantiles(self):
        quick = [(MINUTE * number, True) for number in (1, 2, 3, 4)]
        assert recovery.quantile(quick, 0.5) == 2 * MINUTE
        endless = [*quick, *[(timedelta(hours=9), False)] * 6]
        assert recovery.quantile(endless, 0.5) is None, "fewer than half are over"
        assert recovery.quantile(endless, 0.4) == 4 * MINUTE
        # Censored early: it may be over any time, so it weighs on nothing after it.
        assert recovery.quantile([(MINUTE, False), (2 * MINUTE, True), (3 * MINUTE, True)], 0.5) == 2 * MINUTE
        assert recovery.quantile([], 0.5) is None

    @given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
    def test_without_open_ones_they_are_the_plain_quantiles(self, minutes: list[int]):
        spells = [(MINUTE * number, True) for number in minutes]
        for share in (0.5, 0.9):
            place = math.ceil(len(minutes) * share - 1e-6) - 1
            assert recovery.quantile(spells, share) == MINUTE * sorted(minutes)[place]


@pytest.mark.django_db
class TestPauses:
    """What was late in a pause of staff is told apart."""

    def test_from_the_act_to_the_count(self):
        operator = Actor.of(person("operator"))
        mail(Status.PENDING, created_at=NOW + MINUTE)
        operations.pause(queue="email", actor=operator, reason="provider moves", now=NOW)
        operations.pause(queue="email", actor=operator, reason="twice", now=NOW + SECOND)
        operations.resume(queue="email", actor=operator, reason="moved", now=NOW + 30 * MINUTE)
        mail(Status.PENDING, created_at=NOW + 40 * MINUTE)
        span = PauseSpan.objects.get()
        assert (span.began_at, span.ends_at) == (NOW, NOW + 30 * MINUTE)
        rollup.run(now=NOW + 60 * MINUTE, only=["email.accepted"])
        rows = SloMinute.objects.order_by("minute").values_list("paused", "bad")
        assert list(rows) == [(1, 0), (0, 1)]

    def test_one_that_ended_by_itself_ended_then(self):
        operator = Actor.of(person("operator"))
        operations.pause(
            queue="email", kind="news", actor=operator, reason="x", now=NOW, resume_at=NOW + timedelta(hours=1)
        )
        operations.resume(queue="email", kind="news", actor=operator, reason="late", now=NOW + timedelta(hours=2))
        assert PauseSpan.objects.get().ends_at == NOW + timedelta(hours=1)


@pytest.mark.django_db
class TestRedrives:
    """Of what staff redrove: done within the hour, dead again, or neither."""

    def redriven(self, *ends: tuple[str, timedelta] | None) -> None:
        """One redriven mail for each end: (outcome, after)."""
        actor = Actor.of(User.objects.filter(username="operator").first() or person("operator"))
        for end in ends:
            row = mail(Status.DEAD_LETTER)
            Attempt.objects.create(
                queue="email", item_id=row.pk, number=1, started_at=NOW - MINUTE, outcome="dead_letter"
            )
            operations.act_on(
                act="redrive", queue="email", selection=Selection(ids=(row.pk,)), actor=actor, reason="x", now=NOW
            )
            if end is not None:
                self.run(row, 2, NOW + end[1], end[0])

    def run(self, row: EmailMessage, number: int, at: datetime, outcome: str) -> None:
        """One run of it."""
        said = {"queue": "email", "number": number, "outcome": outcome, "code": "smtp 550"}
        Attempt.objects.create(item_id=row.pk, started_at=at, **said)

    def test_each_end(self):
        self.redriven(("ack", MINUTE), ("dead_letter", MINUTE), ("ack", timedelta(hours=2)), ("cancel", MINUTE), None)
        rollup.run(now=NOW + 20 * MINUTE, only=["redrive.succeeded"])
        row = SloMinute.objects.get()
        assert (row.good, row.bad, row.excluded) == (1, 1, 1), "two may still succeed"
        rollup.run(now=NOW + timedelta(hours=2), only=["redrive.succeeded"])
        row.refresh_from_db()
        assert (row.good, row.bad, row.excluded) == (1, 3, 1)
        source = objective.get("redrive.succeeded").source
        spenders = source.spenders(NOW, NOW + MINUTE, now=NOW + timedelta(hours=2), limit=10)
        assert sorted(each.why for each in spenders) == ["dead again: smtp 550", "not done in time", "not done in time"]
        assert source.link(spenders).count("id=") == 3


@pytest.mark.django_db
def test_analytics_counts_that_are_written_late_are_counted():
    """A process whose database was away writes its minutes when it is back."""
    now = datetime.now(UTC)
    stats.flush(at_once=True)
    StaleMinute.objects.all().delete()  # of what earlier tests had counted
    rollup.run(now=now, only=["analytics.succeeded"])
    then = objective.minute_of(now - 20 * MINUTE)
    stats.count("kpi", "ok", now=then, milliseconds=30)
    stats.count("kpi", "ok", now=now, milliseconds=30)
    stats.flush(at_once=True)
    assert {(row.objective, row.minute) for row in StaleMinute.objects.all()} == {(key, then) for key in stats.LEVELS}
    rollup.run(now=now + MINUTE, only=["analytics.succeeded"])
    assert SloMinute.objects.get(minute=then).good == 1


@pytest.mark.django_db
class TestRuns:
    """Throughput and what retries bring."""

    def test_retries_count_only_what_had_failed(self):
        def run(item: int, number: int, outcome: str) -> None:
            Attempt.objects.create(
                queue="email",
                item_id=item,
                number=number,
                started_at=NOW + number * SECOND,
                duration_ms=5,
                outcome=outcome,
            )

        for item, *outcomes in ((1, "ack"), (2, "retry", "ack"), (3, "retry", "dead_letter"), (4, "snooze", "ack")):
            for number, outcome in enumerate(outcomes, 1):
                run(item, number, outcome)
        rollup.run(now=NOW + 10 * MINUTE, only=["email.runs", "email.retries"])
        counted = {row.objective: (row.good, row.bad, row.excluded) for row in SloMinute.objects.all()}
        assert counted == {"email.runs": (3, 3, 1), "email.retries": (1, 1, 0)}


@pytest.mark.django_db
class TestSchedules:
    """What the clock did, and did not."""

    def test_a_run_is_noted_by_the_hook_of_every_schedule(self):
        assert set(Schedule.objects.values_list("hook", flat=True)) == {recurring.HOOK}
        name = "redrive: measure"
        said = {"name": "x", "func": "f", "group": name, "hook": recurring.HOOK, "started": NOW}
        Task.objects.create(id="a", success=True, stopped=NOW + 2 * SECOND, **said)
        Task.objects.create(id="b", success=False, stopped=NOW + 4 * SECOND, result="it broke", **said)
        row = ScheduleState.objects.get()
        assert (row.name, row.runs, row.failures, row.words, row.longest_seconds) == (name, 2, 1, "it broke", 4.0)
        assert (row.succeeded, row.missed) == (False, 0)

    @pytest.mark.parametrize(("gap", "missed"), [(60, 0), (100, 0), (149, 0), (151, 1), (3600, 58)])
    def test_a_gap_is_so_many_missed(self, gap: int, missed: int):
        for at in (NOW, NOW + gap * SECOND):
            schedules.ran(name="redrive: measure", started_at=at, stopped_at=at, succeeded=True, words="")
        assert ScheduleState.objects.get().missed == missed

    def test_measuring_is_one_task(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(rollup, "FIRST_LOOK", timedelta(hours=1))
        mail(Status.SUCCEEDED, created_at=NOW, succeeded_at=NOW + SECOND)
        counted = tasks.measure()
        assert set(counted) >= {each.key for each in objective.promised()}
        assert tasks.clean_measures() == 0


class TestHistogram:
    """Any percentile within 2 %."""

    @given(st.lists(st.floats(0.2, 5e9), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]))
    def test_percentiles(self, milliseconds: list[float], share: float):
        stored: dict[str, int] = {}
        for each in milliseconds:
            stored = histogram.merged([stored, {str(histogram.bucket(each)): 1}])
        told = histogram.percentile(stored, share)
        exact = sorted(milliseconds)[max(math.ceil(len(milliseconds) * share - 1e-9) - 1, 0)]
        assert told is not None
        assert abs(told / timedelta(milliseconds=1) - exact) <= max(exact * 0.0151, 1)

    def test_of_nothing_there_is_none(self):
        assert histogram.percentile({}, 0.5) is None


@pytest.mark.django_db
class TestPlans:
    """The rollup reads its minutes by an index, whatever the table holds."""

    @pytest.mark.parametrize("key", ["email.accepted", "webhook.handled", "push.accepted"])
    def test_a_minute_of_items(self, key: str):
        assert f"{self.table(key)}_first_due" in self.plan(key)

    @pytest.mark.parametrize(
        ("key", "index"), [("email.runs", "attempt_started"), ("checkout.fast", "striperequest_created")]
    )
    def test_a_minute_of_other_rows(self, key: str, index: str):
        assert index in self.plan(key)

    def test_what_was_done_late(self):
        source: Any = objective.get("email.accepted").source
        rows = source.late_rows(NOW - MINUTE, NOW)
        plan = self.explained(rows)
        assert connection.vendor == "postgresql" or "attempt_started" in plan
        assert "emailmessage_first_due" not in plan, "an open range of the past would be read from its beginning"

    def table(self, key: str) -> str:
        """Its model's name."""
        source: Any = objective.get(key).source
        return str(source.model._meta.model_name)

    def plan(self, key: str) -> str:
        """What the database would do."""
        source: Any = objective.get(key).source
        return self.explained(source.judged(NOW, NOW + 5 * MINUTE, now=NOW))

    def explained(self, rows: Any) -> str:
        """Its plan."""
        if connection.vendor == "postgresql":  # a handful of rows is read faster without any index
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off")
        return str(rows.explain())


@pytest.mark.django_db
def test_a_shown_limit_is_the_limiters_own_decision(settings: Any):
    settings.RATE_LIMITS = {"checkout.user": (5, 60)}
    chance, at, answers = random.Random(3), NOW, {True: 0, False: 0}
    wanted = [Limit("checkout.user", "7")]
    for _ in range(200):
        at += timedelta(milliseconds=chance.choice((0, 7, 400, 2_000, 9_000, 31_000)))
        uses = limits_page.allowance("checkout.user", now=at).uses
        free_at = uses[0].free_at if uses else None
        answer = limiter.take(wanted, at=at)
        assert answer.granted == (free_at is None)
        assert answer.until == free_at
        answers[answer.granted] += 1
    assert min(answers.values()) > 20


def test_processes_tell_their_memory_and_their_task():
    session = os.getsid(0)
    board.begin(task={"name": "drain email"})
    try:
        mine = next(each for each in processes.of_session(session) if each["pid"] == os.getpid())
        assert (mine["task"], mine["seconds"]) == ("drain email", 0)
        assert 10 < mine["memory_mb"] < 4000
        assert board.busy(session=session) == 1
    finally:
        board.end()
    mine = next(each for each in processes.of_session(session) if each["pid"] == os.getpid())
    assert "task" not in mine


@pytest.mark.django_db
def test_sizes_are_told_without_counting():
    for _ in range(3):
        mail()
    found = {each.table: each for each in sizes.tables()}
    assert "queues_emailmessage" in found
    assert (found["queues_emailmessage"].rows or 0) >= 0
    assert (found["queues_emailmessage"].size is not None) == (connection.vendor == "postgresql")
    assert sizes.whole()


def test_every_objective_says_what_it_is():
    keys = [each.key for each in objective.everything()]
    assert len(keys) == len(set(keys))
    assert {"checkout.created", "payments.processed", "email.accepted", "email.delivered", "email.quick"} <= set(keys)
    for each in objective.everything():
        assert each.counts.endswith("."), each.key
        assert each.good.endswith("."), each.key
        assert each.source.settles <= rollup.CHUNK
        assert not each.beside or objective.get(each.beside).target
