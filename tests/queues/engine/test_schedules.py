"""Recurring work: django-q2's rows become the table, whoever makes them so, and as often as one likes."""

from __future__ import annotations

import inspect
import pydoc
import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from config import schedules
from queues.engine import recurring
from queues.engine.recurring import PREFIX, Recurring

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTELY = Recurring(name="look", task="queues.tasks.reclaim", minutes=1)
DAILY = Recurring(name="sweep", task="queues.tasks.clean_rate_counters", daily_at=time(2, 30))


@pytest.fixture(autouse=True)
def _none_yet(db: None) -> None:
    """What the migration of the test database made is not part of these tests."""
    Schedule.objects.all().delete()


def ours() -> dict[str, Schedule]:
    """Our rows by their name in the table."""
    return {row.name.removeprefix(PREFIX): row for row in Schedule.objects.filter(name__startswith=PREFIX)}


def test_missing_rows_are_created() -> None:
    """What runs every minute begins at once; what runs daily, the next time its hour comes."""
    assert recurring.sync([MINUTELY, DAILY], now=NOW) == {"created": 2}
    rows = ours()
    assert (rows["look"].func, rows["look"].minutes, rows["look"].next_run) == ("queues.tasks.reclaim", 1, NOW)
    assert rows["sweep"].schedule_type == Schedule.DAILY
    assert rows["sweep"].next_run == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)


def test_a_second_time_changes_nothing() -> None:
    """Also not when the next run is: a deployment an hour would otherwise put off the daily work for ever."""
    recurring.sync([MINUTELY, DAILY], now=NOW)
    assert recurring.sync([MINUTELY, DAILY], now=NOW + timedelta(hours=13)) == {}
    assert ours()["sweep"].next_run == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"func": "os.getcwd"}, "func", "queues.tasks.reclaim"),
        ({"args": "(1,)"}, "args", None),
        ({"minutes": 7}, "minutes", 1),
        ({"repeats": 0}, "repeats", -1),
        ({"cluster": "elsewhere"}, "cluster", None),
        ({"schedule_type": Schedule.HOURLY}, "schedule_type", Schedule.MINUTES),
        ({"next_run": None}, "next_run", NOW),
    ],
)
def test_a_row_that_differs_is_set_right(change: dict[str, object], column: str, value: object) -> None:
    """Whichever column somebody changed."""
    recurring.sync([MINUTELY], now=NOW)
    Schedule.objects.update(**change)
    assert recurring.sync([MINUTELY], now=NOW) == {"updated": 1}
    assert getattr(ours()["look"], column) == value


def test_another_hour_in_the_table_moves_the_row() -> None:
    """Daily work follows its table to the new time."""
    recurring.sync([DAILY], now=NOW)
    later = Recurring(name="sweep", task=DAILY.task, daily_at=time(4, 0))
    assert recurring.sync([later], now=NOW) == {"updated": 1}
    assert ours()["sweep"].next_run == datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


def test_rows_that_left_the_table_go_and_strangers_stay() -> None:
    """A row is ours by its name alone."""
    stranger = Schedule.objects.create(name="look", func="queues.tasks.reclaim", schedule_type=Schedule.HOURLY)
    nameless = Schedule.objects.create(func="queues.tasks.reclaim", schedule_type=Schedule.HOURLY)
    recurring.sync([MINUTELY, DAILY], now=NOW)
    assert recurring.sync([MINUTELY], now=NOW) == {"deleted": 1}
    assert set(ours()) == {"look"}
    assert Schedule.objects.filter(pk__in=[stranger.pk, nameless.pk]).count() == 2


def test_a_double_of_ours_is_removed() -> None:
    """Whoever made it."""
    recurring.sync([MINUTELY], now=NOW)
    Schedule.objects.create(next_run=NOW, **MINUTELY.row())
    assert recurring.sync([MINUTELY], now=NOW) == {"deleted": 1}
    assert len(ours()) == 1


@pytest.mark.django_db(transaction=True)
def test_two_machines_that_deploy_at_once_make_each_row_once() -> None:
    """Four at once, from nothing."""
    barrier = threading.Barrier(4)

    def deploy() -> None:
        try:
            barrier.wait()
            recurring.sync([MINUTELY, DAILY], now=NOW)
        finally:
            connection.close()

    threads = [threading.Thread(target=deploy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Schedule.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_every_migrate_brings_the_schedules() -> None:
    """Also one that has nothing to migrate."""
    call_command("migrate", verbosity=0)
    assert set(ours()) == {entry.name for entry in recurring.table()}
    assert {"drain email", "reclaim lost leases", "clean rate counters"} <= set(ours())


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    """And that there was nothing to do."""
    call_command("sync_schedules")
    call_command("sync_schedules")
    assert capsys.readouterr().out.splitlines()[-1] == "schedules: nothing to change"


@pytest.mark.parametrize("entry", schedules.TABLE, ids=lambda entry: entry.name)
def test_every_line_names_a_function_that_takes_its_arguments(entry: Recurring) -> None:
    """A path that leads nowhere would fail once a day, at night."""
    function = pydoc.locate(entry.task)
    assert callable(function)
    inspect.signature(function).bind(*entry.args)


def test_names_in_the_table_are_different() -> None:
    """The name is what tells the rows apart."""
    names = [entry.name for entry in schedules.TABLE]
    assert len(names) == len(set(names))


def test_a_line_of_an_absent_queue_is_not_wanted() -> None:
    """The table may name queues that an installation has switched off."""
    known = {entry.name for entry in recurring.table()}
    assert "drain email" in known
    gone = Recurring(name="drain nowhere", task="queues.tasks.drain", args=("nowhere",), minutes=1, queue="nowhere")
    before = list(schedules.TABLE)
    recurring.fill([*before, gone])
    try:
        assert {entry.name for entry in recurring.table()} == known
    finally:
        recurring.fill(before)


@pytest.mark.parametrize("given", [{}, {"minutes": 1, "daily_at": time(1)}])
def test_a_line_has_one_rhythm(given: dict[str, object]) -> None:
    """Neither none nor two."""
    with pytest.raises(ValueError, match="either"):
        Recurring(name="x", task="x", **given)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_django_q2_runs_what_we_wrote() -> None:
    """Its scheduler reads our columns: arguments, time-out, and the next run on the same minute of the day."""
    slow = Recurring(name="slow", task="queues.tasks.drain", args=("email",), daily_at=time(2, 30), timeout=1800)
    long_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
    recurring.sync([slow], now=long_ago)
    scheduler()
    (queued,) = OrmQ.objects.all()
    assert queued.task["func"] == "queues.tasks.drain"
    assert queued.task["args"] == ("email",)
    assert queued.task["timeout"] == 1800
    next_run = ours()["slow"].next_run
    assert next_run > datetime.now(UTC)
    assert next_run.time() == time(2, 30)
    assert recurring.sync([slow], now=datetime.now(UTC)) == {}


def test_a_schedule_that_nobody_runs_is_noticed() -> None:
    """Only ours, only those that still repeat, and only after a while."""
    recurring.sync([MINUTELY], now=NOW)
    minute = timedelta(seconds=60)
    assert not recurring.standing(now=NOW + timedelta(seconds=59), overdue=minute)
    assert recurring.standing(now=NOW + timedelta(seconds=61), overdue=minute)
    Schedule.objects.update(repeats=0)
    assert not recurring.standing(now=NOW + timedelta(seconds=61), overdue=minute)
