"""The rollup: run again, killed, doubled, late or missed for hours, the rows are those of one run in time."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from queues.email.models import EmailMessage
from queues.engine.attempts import Attempt
from queues.engine.states import Status
from queues.monitor import objective, rollup, stale
from queues.monitor.models import SloHour, SloMinute, StaleMinute, Watermark
from tests.queues.desk.people import mail
from tests.queues.monitor import histories

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
KEY = "email.accepted"


def sent(due: datetime, *, after: timedelta | None = SECOND) -> EmailMessage:
    """A mail due then; None: still waiting."""
    done = None if after is None else due + after
    state = Status.PENDING if done is None else Status.SUCCEEDED
    row = mail(state, now=due, created_at=due, due_at=due, succeeded_at=done)
    if done is not None:
        Attempt.objects.create(queue="email", item_id=row.pk, number=1, started_at=done, outcome="ack")
    return row


def minutes(key: str = KEY) -> dict[int, tuple[int, int]]:
    """Minute after START → (good, bad)."""
    rows = SloMinute.objects.filter(objective=key)
    return {(row.minute - START) // MINUTE: (row.good, row.bad) for row in rows}


def until() -> datetime:
    """The watermark."""
    return Watermark.objects.get(objective=KEY).until


def everything() -> list[tuple[Any, ...]]:
    """All stored counts."""
    columns = ("objective", "good", "bad", "excluded", "paused", "histogram")
    return [
        *SloMinute.objects.order_by("objective", "minute").values_list("minute", *columns),
        *SloHour.objects.order_by("objective", "hour").values_list("hour", *columns),
    ]


def go(now: datetime) -> dict[str, int]:
    """One run for mail alone."""
    return rollup.run(now=now, only=[KEY])


def test_minutes_are_known_at_once_and_final_when_they_have_settled():
    sent(START)
    waiting = sent(START + 2 * MINUTE, after=None)
    go(START + 3 * MINUTE)
    assert minutes() == {0: (1, 0)}, "what still can be good is not counted yet"
    assert until() < START
    go(START + 8 * MINUTE + SECOND)
    assert minutes() == {0: (1, 0), 2: (0, 1)}, "unfinished past its target"
    assert until() == START + 2 * MINUTE
    EmailMessage.objects.filter(pk=waiting.pk).update(
        status=Status.SUCCEEDED, succeeded_at=START + 20 * MINUTE, attempts=1, runs=1
    )
    go(START + 21 * MINUTE)
    assert minutes()[2] == (0, 1), "done too late stays bad, in the minute when it was due"


def test_run_again_changes_nothing():
    chance, known = histories.random.Random(5), histories.Known()
    histories.mails(chance, known, START, timedelta(hours=3), START + timedelta(hours=3), 60)
    now = START + timedelta(hours=3, minutes=7)
    keys = [KEY, "email.quick", "email.delivered", "email.due", "email.runs"]
    rollup.run(now=now, only=keys)
    once = everything()
    for _ in range(2):
        rollup.run(now=now, only=keys)
    assert everything() == once
    Watermark.objects.update(until=START - timedelta(hours=1))  # all of it from the beginning
    rollup.run(now=now, only=keys)
    assert everything() == once
    assert len(once) > 20


def test_missed_for_hours_it_catches_up_in_bounded_goes(monkeypatch: pytest.MonkeyPatch):
    for hour in range(0, 20, 2):
        sent(START + timedelta(hours=hour))
    go(START + MINUTE)
    spans: list[timedelta] = []
    source = type(objective.get(KEY).source)
    count = source.count

    def noted(self: Any, start: datetime, end: datetime, *, now: datetime) -> Any:
        spans.append(end - start)
        return count(self, start, end, now=now)

    monkeypatch.setattr(source, "count", noted)
    go(START + timedelta(hours=19))
    assert set(minutes()) == {hour * 60 for hour in range(0, 20, 2)}
    assert max(spans) <= rollup.CHUNK
    assert len(spans) >= 4
    assert rollup.reached(objective.get(KEY), now=START + timedelta(hours=19))


def test_a_run_that_dies_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch):
    sent(START)
    go(START + 10 * MINUTE)
    before, mark = everything(), until()
    sent(START + 5 * MINUTE, after=None)
    stale.mark([KEY], [START])

    def dies(*_: Any) -> None:
        raise DatabaseError("the server went away\nin the middle")

    monkeypatch.setattr(rollup, "_sum", dies)
    assert go(START + 20 * MINUTE) == {}
    assert (everything(), until()) == (before, mark)
    assert Watermark.objects.get(objective=KEY).words == "the server went away"
    assert StaleMinute.objects.count() == 1
    monkeypatch.undo()
    go(START + 20 * MINUTE)
    assert minutes() == {0: (1, 0), 5: (0, 1)}
    assert Watermark.objects.get(objective=KEY).words == ""


def test_of_two_runs_at_once_one_stores(monkeypatch: pytest.MonkeyPatch):
    sent(START)
    go(START + MINUTE)
    source = type(objective.get(KEY).source)
    count = source.count
    inside: list[int] = []

    def slow(self: Any, start: datetime, end: datetime, *, now: datetime) -> Any:
        counted = count(self, start, end, now=now)
        if not inside:  # a second run comes while this one has counted and not stored; a mail came in between
            inside.append(1)
            sent(START + 2 * MINUTE)
            assert rollup.advance(objective.get(KEY), now=START + 30 * MINUTE)
        return counted

    monkeypatch.setattr(source, "count", slow)
    assert rollup.advance(objective.get(KEY), now=START + 30 * MINUTE) == 0
    assert minutes() == {0: (1, 0), 2: (1, 0)}


def test_a_marked_minute_is_counted_again_and_the_mark_goes():
    sent(START)
    go(START + 3 * timedelta(hours=1))
    late = sent(START + 10 * SECOND)
    go(START + timedelta(hours=3, minutes=1))
    assert minutes()[0] == (1, 0), "behind the watermark nobody looks by itself"
    assert stale.mark([KEY], [late.created_at, late.created_at + SECOND]) == 1
    go(START + timedelta(hours=3, minutes=2))
    assert minutes()[0] == (2, 0)
    assert not StaleMinute.objects.exists()
    assert SloHour.objects.get(objective=KEY, hour=START).good == 2
    EmailMessage.objects.all().delete()
    stale.mark([KEY], [START])
    go(START + timedelta(hours=3, minutes=3))
    assert minutes() == {}, "a minute in which nothing was due has no row"
    assert not SloHour.objects.filter(objective=KEY).exists()


def test_rows_seen_too_late_are_found_by_the_second_count_an_hour_later():
    go(START - MINUTE)
    go(START + timedelta(minutes=50))
    sent(START + 3 * MINUTE)  # its transaction was open for three quarters of an hour
    go(START + timedelta(minutes=59))
    assert minutes() == {}
    go(START + timedelta(hours=2, minutes=1))
    assert minutes() == {3: (1, 0)}


def test_what_was_done_late_changes_its_minutes_latency_and_not_its_verdict():
    waiting = sent(START, after=None)
    go(START + timedelta(hours=1))
    assert SloMinute.objects.get(objective=KEY).histogram == {}
    done = START + timedelta(hours=1, seconds=30)
    EmailMessage.objects.filter(pk=waiting.pk).update(status=Status.SUCCEEDED, succeeded_at=done, attempts=1, runs=1)
    Attempt.objects.create(queue="email", item_id=waiting.pk, number=1, started_at=done, outcome="ack")
    go(START + timedelta(hours=1, minutes=2))
    row = SloMinute.objects.get(objective=KEY)
    assert (row.good, row.bad, sum(row.histogram.values())) == (0, 1, 1)


def test_a_providers_late_word_changes_the_minute_of_its_mail():
    row = sent(START)
    rollup.run(now=START + timedelta(hours=2), only=["email.delivered"])
    assert SloMinute.objects.get(objective="email.delivered").excluded == 1
    histories.report(row, at=START + timedelta(hours=2, seconds=20), kind="bounced")
    rollup.run(now=START + timedelta(hours=2, minutes=1), only=["email.delivered"])
    assert minutes("email.delivered") == {0: (0, 1)}


def test_a_replay_does_not_make_a_good_minute_bad():
    row = sent(START)
    EmailMessage.objects.filter(pk=row.pk).update(status=Status.PENDING, succeeded_at=None, attempts=0, runs=1)
    go(START + timedelta(hours=1))
    assert minutes() == {0: (1, 0)}


def test_old_minutes_and_hours_go():
    now = START
    for age in (1, 34, 36, 40, 41, 42):
        SloMinute.objects.create(objective=KEY, minute=now - timedelta(days=age))
    for age in (1, 399, 401, 402):
        SloHour.objects.create(objective=KEY, hour=now - timedelta(days=age))
    assert rollup.clean(now=now) == 6
    assert (SloMinute.objects.count(), SloHour.objects.count()) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_marks_made_while_a_run_counts_are_not_lost():
    """Writers add a late row with its mark, a rollup runs all the while: at the end all is counted."""
    go(START + timedelta(hours=3))
    stop = threading.Event()

    def roll() -> None:
        while not stop.is_set():
            go(START + timedelta(hours=3))
        connections.close_all()

    runner = threading.Thread(target=roll)
    runner.start()
    try:
        _write(range(60))
    finally:
        stop.set()
        runner.join()
    go(START + timedelta(hours=3))
    assert sum(good for good, _ in minutes().values()) == 60


def _write(numbers: Iterable[int]) -> None:
    for number in numbers:
        due = START + (number % 7) * MINUTE
        with transaction.atomic():
            stale.mark([KEY], [due])
            sent(due)
