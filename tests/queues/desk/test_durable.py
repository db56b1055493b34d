"""Durable operations: frozen, carried out once whatever dies, at their pace, halted by their canary, undone."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from queues.desk import ledger, operations
from queues.desk.bulk import before, freeze, run
from queues.desk.bulk.operation import GOOD_FOR, Operation
from queues.desk.ledger import LedgerEntry, LedgerItem
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.email.models import EmailMessage
from queues.engine import transitions
from queues.engine.states import Status
from tests.conftest import ROOT
from tests.queues.desk.people import mail, person

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEAD = Selection(status="dead_letter")
State = Operation.State


def prepared(
    act: str = "redrive", selection: Selection = DEAD, *, actor: Actor | None = None, now: datetime = NOW
) -> Operation:
    return freeze.prepare(act=act, queue="email", selection=selection, actor=actor or Actor.shell(), now=now)


def started(act: str = "redrive", selection: Selection = DEAD, **said: Any) -> Operation:
    operation = prepared(act, selection)
    said = {"reason": "repaired", "pace": 60_000, "canary": False, "now": NOW, "actor": Actor.shell()} | said
    return run.start(operation_id=operation.pk, **said)


def finish(operation: Operation, *, now: datetime = NOW, work: Any = None, steps: int = 500) -> Operation:
    """Step on until it is over; `work` plays the workers between the steps."""
    for _ in range(steps):
        following = run.step(operation_id=operation.pk, now=now)
        if following is None:
            break
        now = max(now, following)
        if work:
            work(now)
    else:
        pytest.fail(f"not over after {steps} steps")
    operation.refresh_from_db()
    return operation


def send(_now: datetime) -> None:
    """Workers to whom everything succeeds."""
    EmailMessage.objects.filter(status=Status.PENDING).update(status=Status.SUCCEEDED, succeeded_at=NOW, attempts=1)


def fail(_now: datetime) -> None:
    """Workers to whom everything fails as before."""
    EmailMessage.objects.filter(status=Status.PENDING).update(status=Status.RETRYING, attempts=1)


def states() -> list[str]:
    return list(EmailMessage.objects.order_by("pk").values_list("status", flat=True))


@pytest.mark.django_db
class TestPreparing:
    def test_nothing_is_touched_or_recorded(self):
        mail(), mail(Status.SUCCEEDED), mail(bodies_removed_at=NOW)
        operation = prepared(selection=Selection(kind="receipt"))
        assert (operation.planned, operation.state) == (1, State.PREPARED)
        assert operation.left == {"succeeded already": 1, "its text was removed after its time": 1}
        assert states() == [Status.DEAD_LETTER, Status.SUCCEEDED, Status.DEAD_LETTER]
        assert not LedgerEntry.objects.exists()
        assert run.step(operation_id=operation.pk, now=NOW) is None, "only a started one is carried out"

    def test_it_goes_beyond_a_thousand_oldest_first(self):
        template = mail()
        fields = [f for f in EmailMessage._meta.concrete_fields if not f.primary_key]
        EmailMessage.objects.bulk_create(
            EmailMessage(
                **{f.attname: getattr(template, f.attname) for f in fields} | {"idempotency_key": f"b{number}"}
            )
            for number in range(1200)
        )
        operation = prepared()
        items = [pk for portion in operation.portions.order_by("number") for pk, _version in portion.items]
        assert operation.planned == 1201
        assert items == sorted(items)

    def test_more_than_it_can_hold_is_said(self, monkeypatch):
        monkeypatch.setattr(freeze, "AT_MOST", 2)
        _old, *new = [mail() for _ in range(3)]
        operation = prepared()
        assert (operation.planned, operation.more) == (2, True)
        assert [pk for pk, _ in operation.portions.get().items] == [item.pk for item in new]

    def test_only_with_the_permission(self):
        with pytest.raises(PermissionDenied):
            prepared(actor=Actor.of(person("observer")))
        assert not Operation.objects.exists()


@pytest.mark.django_db
class TestStarting:
    def test_once_in_time_by_who_prepared_it(self):
        actor = Actor.of(person("operator"))
        said: dict[str, Any] = {"reason": "x", "pace": 60, "canary": False, "actor": actor}
        mail()
        operation = prepared(actor=actor)
        with pytest.raises(run.NotReady, match="somebody else"):
            run.start(operation_id=operation.pk, now=NOW, **said | {"actor": Actor.shell()})
        with pytest.raises(run.NotReady, match="too long ago"):
            run.start(operation_id=operation.pk, now=NOW + GOOD_FOR, **said)
        run.start(operation_id=operation.pk, now=NOW, **said)
        with pytest.raises(run.NotReady, match="started before"):
            run.start(operation_id=operation.pk, now=NOW, **said)
        assert LedgerEntry.objects.count() == 1

    @pytest.mark.parametrize("pace", [0, -1, run.PACE_MAX + 1])
    def test_a_pace_has_bounds(self, pace: int):
        with pytest.raises(run.NotReady, match="pace"):
            started(pace=pace)

    def test_not_without_a_reason(self):
        with pytest.raises(operations.ReasonMissing):
            started(reason=" ")

    def test_who_lost_the_permission_meanwhile_may_not(self):
        user = person("operator")
        operation = prepared(actor=Actor.of(user))
        user.groups.clear()
        fresh = type(user).objects.get(pk=user.pk)
        with pytest.raises(PermissionDenied):
            run.start(operation_id=operation.pk, actor=Actor.of(fresh), reason="x", pace=60, canary=False, now=NOW)


@pytest.mark.django_db
class TestRunning:
    def test_it_touches_what_was_frozen_and_nothing_else(self):
        same, redriven, late_to_change = mail(), mail(), mail()
        operation = started()
        transitions.redrive(EmailMessage.objects.filter(pk=redriven.pk), now=NOW)
        transitions.discard(EmailMessage.objects.filter(pk=late_to_change.pk), reason="x", now=NOW)
        new = mail()
        finish(operation, work=send)
        assert (operation.state, operation.planned, operation.done, operation.missed) == (State.FINISHED, 3, 1, 2)
        same.refresh_from_db(), new.refresh_from_db()
        assert (same.version, new.status, new.version) == (1, Status.DEAD_LETTER, 0)

    def test_a_dead_letter_that_died_again_is_not_the_one_that_was_frozen(self):
        item = mail()
        operation = started()
        EmailMessage.objects.filter(pk=item.pk).update(version=4)
        assert (finish(operation).done, operation.missed) == (0, 1)
        item.refresh_from_db()
        assert (item.status, item.version) == (Status.DEAD_LETTER, 4)

    def test_its_start_and_end_are_in_the_ledger_and_every_item_is_mentioned(self):
        items = [mail() for _ in range(3)]
        operation = finish(started())
        end, start = LedgerEntry.objects.order_by("-id")
        assert (start.act, start.item_count, start.result["planned"]) == ("redrive", 0, 3)
        assert (end.act, end.item_count, end.result["done"], end.result["state"]) == ("redrive ended", 3, 3, "finished")
        assert operation.entry == start
        for item in items:
            assert ledger.of_item(queue="email", item_id=item.pk) == [start]
        assert ledger.verify().whole

    def test_the_pace_is_kept(self):
        [mail() for _ in range(30)]
        operation = started(pace=120)
        finish(operation, work=send)
        # Its last look, when nothing is left, comes one beat after the last items.
        assert operation.started_at
        assert operation.ended_at
        took = operation.ended_at - operation.started_at
        assert timedelta(seconds=13.5) <= took <= timedelta(seconds=16.5)

    def test_two_who_carry_it_on_keep_one_pace(self):
        [mail() for _ in range(10)]
        operation = started(pace=60)
        for _ in range(5):
            run.step(operation_id=operation.pk, now=NOW)
        operation.refresh_from_db()
        assert operation.done == 1

    def test_after_a_rest_it_does_not_make_up_for_it(self):
        [mail() for _ in range(20)]
        operation = started(pace=60)
        run.step(operation_id=operation.pk, now=NOW)
        later = NOW + timedelta(minutes=10)
        touched = 0
        while (following := run.step(operation_id=operation.pk, now=later)) and following <= later:
            touched += 1
        assert touched <= 1

    def test_new_work_comes_first(self, monkeypatch):
        monkeypatch.setattr(run, "BACKLOG", 3)
        [mail() for _ in range(5)]
        [mail(Status.PENDING, due_at=NOW - timedelta(minutes=1)) for _ in range(2)]
        operation = started()
        run.step(operation_id=operation.pk, now=NOW)
        following = run.step(operation_id=operation.pk, now=NOW + timedelta(seconds=1))
        operation.refresh_from_db()
        assert operation.done == 1, "with two due already there is room for one"
        assert "come first" in operation.why
        assert following == NOW + timedelta(seconds=1) + run.LOOK_AGAIN
        assert finish(operation, now=following, work=send).done == 5

    def test_an_act_that_makes_no_work_does_not_wait(self, monkeypatch):
        monkeypatch.setattr(run, "BACKLOG", 0)
        mail()
        assert finish(started("purge")).done == 1

    def test_abort_stops_it_and_says_so(self):
        [mail() for _ in range(5)]
        operation = started(pace=60)
        run.step(operation_id=operation.pk, now=NOW)
        run.abort(operation_id=operation.pk, actor=Actor.shell(), reason="wrong filter", now=NOW)
        assert run.step(operation_id=operation.pk, now=NOW + timedelta(hours=1)) is None
        operation.refresh_from_db()
        assert (operation.state, operation.done) == (State.ABORTED, 1)
        assert "wrong filter" in operation.why
        assert states().count(Status.DEAD_LETTER) == 4
        assert LedgerEntry.objects.first().reason == "wrong filter"
        with pytest.raises(run.NotReady):
            run.abort(operation_id=operation.pk, actor=Actor.shell(), reason="again", now=NOW)

    def test_only_who_may_act_may_abort(self):
        mail()
        operation = started()
        with pytest.raises(PermissionDenied):
            run.abort(operation_id=operation.pk, actor=Actor.of(person("observer")), reason="x", now=NOW)

    def test_a_runner_carries_on_what_runs_and_leaves_what_is_held(self):
        [mail() for _ in range(3)]
        held, free = started(selection=Selection(kind="none")), started()
        Operation.objects.filter(pk=held.pk).update(held_until=NOW + timedelta(minutes=1))
        clock = [NOW]

        def nap(seconds: float) -> None:
            clock[0] += timedelta(seconds=max(seconds, 0.001))

        assert run.carry_on(stay=timedelta(seconds=45), clock=lambda: clock[0], nap=nap) == 1
        held.refresh_from_db(), free.refresh_from_db()
        assert (held.state, free.state) == (State.RUNNING, State.FINISHED)
        clock[0] = NOW + timedelta(minutes=2)
        assert run.carry_on(stay=timedelta(seconds=45), clock=lambda: clock[0], nap=nap) == 1

    def test_a_runner_whose_time_is_over_lets_go(self):
        [mail() for _ in range(50)]
        operation = started(pace=1)
        clock = [NOW]

        def nap(seconds: float) -> None:
            clock[0] += timedelta(seconds=max(seconds, 0.001))

        assert run.carry_on(stay=timedelta(seconds=45), clock=lambda: clock[0], nap=nap) == 0
        operation.refresh_from_db()
        assert (operation.done, operation.held_until, operation.state) == (1, None, State.RUNNING)


@pytest.mark.django_db
class TestCanary:
    def test_a_cause_that_is_still_there_touches_six(self):
        [mail() for _ in range(60)]
        operation = finish(started(canary=True), work=fail)
        assert (operation.state, operation.done) == (State.HALTED, 6)
        assert "The same cause came back: 6 of the last 6" in operation.why
        assert states().count(Status.DEAD_LETTER) == 54
        assert LedgerEntry.objects.first().result["why"] == operation.why

    def test_a_repaired_cause_lets_all_go(self):
        [mail() for _ in range(60)]
        operation = finish(started(canary=True), work=send)
        assert (operation.state, operation.done) == (State.FINISHED, 60)

    def test_another_cause_does_not_halt_it(self):
        [mail() for _ in range(40)]

        def fail_otherwise(_now: datetime) -> None:
            EmailMessage.objects.filter(status=Status.PENDING).update(
                status=Status.RETRYING, attempts=1, last_code="new"
            )

        assert finish(started(canary=True), work=fail_otherwise).done == 40

    def test_it_waits_to_hear_of_the_first(self):
        [mail() for _ in range(10)]
        operation, now = started(canary=True), NOW
        for _ in range(10):
            now += timedelta(minutes=1)
            run.step(operation_id=operation.pk, now=now)
        operation.refresh_from_db()
        assert operation.done == 1
        assert "Waits to hear" in operation.why

    def test_one_put_off_by_a_limit_has_not_been_heard_of(self):
        [mail() for _ in range(10)]

        def put_off(_now: datetime) -> None:
            EmailMessage.objects.filter(status=Status.PENDING).update(status=Status.RETRYING, attempts=0)

        operation = started(canary=True)
        with pytest.raises(pytest.fail.Exception):
            finish(operation, work=put_off, steps=20)
        operation.refresh_from_db()
        assert (operation.done, operation.heard) == (1, "")


FROZEN = ("id", *before.COLUMNS)


def everything() -> list[tuple[Any, ...]]:
    return list(EmailMessage.objects.order_by("pk").values_list(*FROZEN))


@pytest.mark.django_db
class TestUndo:
    @pytest.mark.parametrize(
        ("act", "selection"),
        [
            ("redrive", DEAD),
            ("discard", Selection(kind="receipt")),
            ("purge", Selection(kind="receipt")),
            ("replay", Selection(status="succeeded")),
        ],
    )
    def test_it_puts_everything_back_as_it_was(self, act: str, selection: Selection):
        for status in (Status.DEAD_LETTER, Status.SUCCEEDED, Status.PENDING, Status.DEAD_LETTER):
            mail(status, now=NOW - timedelta(hours=1, microseconds=7), uncertain_at=NOW, waits_for="rate:email")
        was = everything()
        operation = finish(started(act, selection))
        assert everything() != was
        undo = freeze.prepare_undo(operation_id=operation.pk, actor=Actor.shell(), now=NOW)
        assert (undo.planned, undo.left) == (operation.done, {})
        run.start(operation_id=undo.pk, actor=Actor.shell(), reason="wrong ones", pace=6000, canary=False, now=NOW)
        assert finish(undo).done == operation.done
        assert everything() == was

    def test_what_has_started_is_left_and_counted(self):
        _waiting, sent, running = mail(), mail(), mail()
        operation = finish(started())
        EmailMessage.objects.filter(pk=sent.pk).update(status=Status.SUCCEEDED, version=3, succeeded_at=NOW)
        fields = {"lease_token": "0" * 32, "leased_until": NOW, "version": 2}
        EmailMessage.objects.filter(pk=running.pk).update(status=Status.PROCESSING, **fields)
        undo = freeze.prepare_undo(operation_id=operation.pk, actor=Actor.shell(), now=NOW)
        assert (undo.planned, undo.left) == (1, {"started or changed since": 1, "held by a worker": 1})
        run.start(operation_id=undo.pk, actor=Actor.shell(), reason="x", pace=6000, canary=False, now=NOW)
        assert finish(undo).done == 1
        assert states() == [Status.DEAD_LETTER, Status.SUCCEEDED, Status.PROCESSING]

    def test_only_who_may_do_the_act_may_undo_it(self):
        mail()
        operation = finish(started())
        with pytest.raises(PermissionDenied):
            freeze.prepare_undo(operation_id=operation.pk, actor=Actor.of(person("observer")), now=NOW)

    def test_there_must_be_something_to_undo(self):
        operation = finish(started())
        for wrong in (operation.pk, 10**9):
            with pytest.raises(LookupError):
                freeze.prepare_undo(operation_id=wrong, actor=Actor.shell(), now=NOW)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_killed_anywhere_every_item_is_handled_exactly_once(child_environment):
    items = [mail() for _ in range(120)]
    operation = started("purge", pace=600)
    kills = [("begun", 1), ("mentioned", 2), ("marked", 1), ("ended", 2), ("mentioned", 1), ("never", 0)]
    for stage, at in kills:
        command = [sys.executable, "-m", "tests.queues.desk.bulk_worker", str(operation.pk), stage, str(at)]
        ended = subprocess.run(command, env=child_environment, cwd=ROOT, timeout=60)
        assert ended.returncode == (0 if stage == "never" else -9), stage
    operation.refresh_from_db()
    assert (operation.state, operation.done, operation.missed) == (State.FINISHED, 120, 0)
    assert set(EmailMessage.objects.values_list("status", "version")) == {(Status.DEAD_LETTER, 1)}
    mentioned = LedgerItem.objects.order_by("item_id").values_list("item_id", flat=True)
    assert list(mentioned) == [item.pk for item in items], "each once"
    assert LedgerEntry.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_four_who_carry_it_on_at_once_touch_each_item_once():
    [mail() for _ in range(200)]
    operation = started("purge")
    barrier, failures = threading.Barrier(4), []

    def carry() -> None:
        try:
            barrier.wait(timeout=20)
            now = NOW
            while run.step(operation_id=operation.pk, now=now):
                now += timedelta(seconds=1)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=carry) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    operation.refresh_from_db()
    assert (operation.done, operation.missed) == (200, 0)
    assert list(EmailMessage.objects.order_by().values_list("version", flat=True).distinct()) == [1]
    assert LedgerItem.objects.count() == 200
