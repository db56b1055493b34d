"""Enqueue: one row a key for ever, whoever comes at once; nothing of a transaction that was rolled back."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction

from queues.engine import enqueue, transitions
from queues.engine.enqueue import Entry
from queues.engine.states import Status
from queues.engine.tombstones import Tombstone
from tests.queues.engine.conftest import T0, MakeJobs, job_queue
from tests.queues.engine.threads import together, waits_for_a_lock
from tests.samplequeue.models import Job


def insert(*keys: str, **fields: Any) -> list[Entry]:
    return enqueue.insert(
        "job", Job, [{"idempotency_key": key, "content_hash": f"hash of {key}", **fields} for key in keys]
    )


def bury_all() -> None:
    """As the daily pruning does it: tombstones first, rows at the next call."""
    transitions.bury(job_queue(), items=Job.objects.all(), now=T0)
    transitions.bury(job_queue(), items=Job.objects.all(), now=T0 + timedelta(minutes=2))


@pytest.mark.django_db
def test_rows_are_made_in_one_statement_and_answered_in_order(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        entries = insert("c", "a", "b")

    assert [Job.objects.get(pk=entry.item_id).idempotency_key for entry in entries] == ["c", "a", "b"]
    assert not any(entry.repeated for entry in entries)
    made = Job.objects.get(idempotency_key="a")
    assert (made.status, made.attempts, made.version, made.content_hash) == ("pending", 0, 0, "hash of a")
    assert made.due_at == made.created_at


@pytest.mark.django_db
def test_nothing_asked_nothing_done(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert insert() == []


@pytest.mark.django_db
def test_a_repeated_key_answers_the_earlier_row_and_its_content() -> None:
    (first,) = insert("a", note="first")
    again, new = insert("a", "b", note="second")

    assert again == Entry(first.item_id, repeated=True, content_hash="hash of a")
    assert not new.repeated
    assert Job.objects.get(pk=first.item_id).note == "first"


@pytest.mark.django_db
def test_the_same_key_twice_in_one_call_is_one_row() -> None:
    first, second, third = insert("a", "b", "a")

    assert (first.repeated, third.repeated) == (False, True)
    assert (third.item_id, third.content_hash) == (first.item_id, "hash of a")
    assert second.item_id != first.item_id
    assert Job.objects.count() == 2


@pytest.mark.django_db
def test_a_call_without_content_hashes() -> None:
    entries = enqueue.insert("job", Job, [{"idempotency_key": "a"}, {"idempotency_key": "a"}])
    assert [entry.repeated for entry in entries] == [False, True]


@pytest.mark.django_db
def test_a_buried_key_is_answered_for_ever(jobs: MakeJobs) -> None:
    (job,) = jobs(1, status=Status.SUCCEEDED, content_hash="h")
    bury_all()

    gone, new = insert(job.idempotency_key, "new")

    assert gone == Entry(job.pk, repeated=True, content_hash="h", buried="succeeded")
    assert not new.repeated
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_a_tombstone_of_another_queue_says_nothing() -> None:
    Tombstone.objects.create(queue="other", key="a", item_id=1, status="succeeded", buried_at=T0)
    assert not insert("a")[0].repeated


@pytest.mark.django_db
def test_many_rows_are_answered_in_order_and_are_all_or_none() -> None:
    keys = [f"key {number * 7919 % 1000:04}" for number in range(1000)]
    entries = insert(*keys, keys[0])
    found = Job.objects.in_bulk()
    assert [found[entry.item_id].idempotency_key for entry in entries] == [*keys, keys[0]]
    assert [entry.repeated for entry in entries] == [False] * 1000 + [True]
    with pytest.raises(ValueError, match="NUL"):
        insert(*[f"other {number:04}" for number in range(999)], "other 0\x00")
    assert Job.objects.count() == 1000


@pytest.mark.django_db
def test_what_the_database_refuses_among_many_leaves_nothing_and_the_transaction_goes_on() -> None:
    rows = [{"idempotency_key": f"key {number:04}", "max_retries": 1} for number in range(600)]
    rows[450]["max_retries"] = -1  # the column takes none below 0
    with pytest.raises(IntegrityError):
        enqueue.insert("job", Job, rows)
    assert not Job.objects.exists()
    assert not insert("after")[0].repeated


class Made(Sequence[Any]):
    """A thousand rows, each made when it is asked for; number 700 cannot be."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, place: Any) -> Any:
        if place == 700:
            raise LookupError("no such row")
        self.asked.append(place)
        return {"idempotency_key": f"key {place:04}"}


@pytest.mark.django_db
def test_rows_are_made_when_they_are_asked_for_and_one_that_cannot_be_stops_all() -> None:
    rows = Made()
    with pytest.raises(LookupError):
        enqueue.insert("job", Job, rows, keys=[f"key {place:04}" for place in range(1000)])
    assert rows.asked == list(range(700))
    assert not Job.objects.exists()
    insert("after")


@pytest.mark.django_db
def test_keys_used_before_are_answered_among_many() -> None:
    (earlier,) = insert("key 0300")
    entries = insert(*[f"key {number % 500:04}" for number in range(1000)])
    fresh = [place for place, entry in enumerate(entries) if not entry.repeated]
    assert fresh == [place for place in range(500) if place != 300]
    assert entries[300].item_id == entries[800].item_id == earlier.item_id
    assert all(entries[place].item_id == entries[place + 500].item_id for place in range(500))


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_transaction_leaves_nothing_and_frees_the_key() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        insert("a")
        raise ZeroDivisionError
    assert not Job.objects.exists()
    assert not insert("a")[0].repeated


@pytest.mark.django_db(transaction=True)
def test_sixteen_callers_with_one_key_make_one_row() -> None:
    entries = together(*[lambda: insert("a", "b")] * 16)

    assert Job.objects.count() == 2
    assert sum(not pair[0].repeated for pair in entries) == 1
    assert len({(pair[0].item_id, pair[1].item_id) for pair in entries}) == 1


@pytest.mark.django_db(transaction=True)
def test_callers_with_the_same_keys_in_another_order_do_not_deadlock() -> None:
    keys = [f"key-{number:04}" for number in range(2_000)]

    def caller(order: list[str]) -> Any:
        def run() -> None:
            with transaction.atomic():
                insert(*order)

        return run

    together(*[caller(keys if number % 2 else keys[::-1]) for number in range(4)])

    assert Job.objects.count() == 2_000


@pytest.mark.django_db(transaction=True)
def test_a_key_that_another_transaction_is_just_inserting_is_waited_for(postgres: bool) -> None:
    inserted, may_end = threading.Event(), threading.Event()

    def first(fails: bool) -> None:
        try:
            with transaction.atomic():
                insert("a")
                inserted.set()
                may_end.wait(30)
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        finally:
            connections.close_all()

    for fails in (True, False):
        inserted.clear()
        may_end.clear()
        thread = threading.Thread(target=first, args=(fails,))
        thread.start()
        assert inserted.wait(30)
        waiter = threading.Timer(0, may_end.set) if not postgres else threading.Thread(target=_let_go, args=(may_end,))
        waiter.start()
        (entry,) = insert("a")
        thread.join()
        waiter.join()
        assert entry.repeated is not fails
        Job.objects.all().delete()


def _let_go(may_end: threading.Event) -> None:
    """Let the other transaction end once somebody waits for it."""
    try:
        give_up = time.monotonic() + 10
        while not waits_for_a_lock() and time.monotonic() < give_up:
            pass
    finally:
        may_end.set()
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_just_being_buried_is_not_sent_again(jobs: MakeJobs, postgres: bool) -> None:
    if not postgres:
        pytest.skip("one writer at a time")
    (job,) = jobs(1, status=Status.SUCCEEDED)
    transitions.bury(job_queue(), items=Job.objects.all(), now=T0)
    deleted, may_end = threading.Event(), threading.Event()

    def gravedigger() -> None:
        with transaction.atomic():
            assert transitions.bury(job_queue(), items=Job.objects.all(), now=T0 + timedelta(minutes=2)) == 1
            deleted.set()
            may_end.wait(30)
        connections.close_all()

    thread = threading.Thread(target=gravedigger)
    thread.start()
    assert deleted.wait(30)
    (during,) = insert(job.idempotency_key)
    may_end.set()
    thread.join()
    (after,) = insert(job.idempotency_key)

    assert (during.repeated, during.item_id) == (True, job.pk)
    assert (after.repeated, after.item_id, after.buried) == (True, job.pk, "succeeded")
    assert not Job.objects.exists()
