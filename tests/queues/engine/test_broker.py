"""The brokers: the own machine's queue comes first, another machine's is left alone, an outage is waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import redis
from django.db import OperationalError
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from queues.engine import broker

REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
MINE = f"redrive/{socket.gethostname()}"
OTHER = "redrive/elsewhere"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch, db: None) -> broker.Tables:
    """The broker in the database, which does not wait when there is nothing."""
    monkeypatch.setattr(Conf, "POLL", 0)
    return broker.Tables("redrive")


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Iterator[broker.Lists]:
    """The broker in a Redis database of the tests."""
    monkeypatch.setattr(Conf, "REDIS", REDIS)
    found = broker.Lists("redrive")
    try:
        found.connection.flushdb()
    except redis.ConnectionError:
        pytest.skip("no Redis on this machine")
    yield found
    found.connection.flushdb()
    found.connection.close()


@pytest.mark.django_db
def test_the_own_queue_has_the_machines_name() -> None:
    """As the settings under test name the cluster."""
    assert broker.own_queue() == MINE


def test_tables_give_the_own_queue_first_and_then_the_oldest(tables: broker.Tables) -> None:
    """And nothing twice."""
    for key, payload in (("redrive", "one"), ("redrive", "two"), (OTHER, "not ours"), (MINE, "beat")):
        OrmQ.objects.create(key=key, payload=payload, lock=timezone.now())
    given = [tables.dequeue() for _ in range(4)]
    assert [[payload for _, payload in tasks] for tasks in given] == [["beat"], ["one"], ["two"], []]


def test_tables_keep_a_task_locked_until_it_is_acknowledged(tables: broker.Tables) -> None:
    """A task of the own queue is acknowledged like any other."""
    OrmQ.objects.create(key=MINE, payload="beat", lock=timezone.now())
    ((number, _),) = tables.dequeue()
    assert OrmQ.objects.get().lock > timezone.now()
    tables.acknowledge(number)
    assert not OrmQ.objects.exists()


def test_tables_wait_for_a_database_that_is_away(tables: broker.Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error does not reach django-q2's pusher, which would die of it."""

    def refused() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(broker, "AWAY_SECONDS", 0)
    monkeypatch.setattr(tables, "get_connection", refused)
    assert tables.dequeue() == []


@pytest.mark.once
def test_lists_give_the_own_queue_first_and_then_the_oldest(lists: broker.Lists) -> None:
    """Another machine's queue is left alone."""
    lists.enqueue("one")
    lists.enqueue("two")
    broker.Lists(OTHER).enqueue("not ours")
    broker.Lists(MINE).enqueue("beat")
    given = [lists.dequeue() for _ in range(3)]
    assert given == [[(None, b"beat")], [(None, b"one")], [(None, b"two")]]
    assert broker.Lists(OTHER).queue_size() == 1


@pytest.mark.once
def test_lists_wait_for_a_redis_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nothing listens."""
    monkeypatch.setattr(Conf, "REDIS", "redis://127.0.0.1:9/0")
    monkeypatch.setattr(broker, "AWAY_SECONDS", 0)
    assert broker.Lists("redrive").dequeue() == []
