"""The supervisor above real clusters: whatever is killed, work goes on, nothing is doubled, no second cluster runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from queues.email import emails
from queues.email.models import EmailMessage
from queues.engine import residence, wake
from queues.engine.heartbeats import Heartbeat
from tests.queues.engine import working
from tests.queues.engine.working import Work, until
from tests.smtp_sink import Sink

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.django_db(transaction=True)]

QUICK = ("--beat", "1", "--silence", "5")


@pytest.fixture(autouse=True)
def _no_earlier_hints() -> None:
    """A test that ended a moment ago must not make this one's wake-ups coalesce with its own."""
    wake._hinted.clear()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A mail server that keeps what it gets."""
    with Sink() as sink:
        yield sink


def mail(address: str = "anna@example.com", **wished: Any) -> None:
    """Enqueue one mail."""
    emails.enqueue(to=[address], subject="Hello", text="Hello", **wished)


def settled(session: int) -> None:
    """Wait until the cluster's answers were heard, and no worker is at a task: one waits in the queue's pipe."""
    first = until(lambda: Heartbeat.objects.filter(name__startswith="cluster:").first())
    until(Heartbeat.objects.filter(pk=first.pk, seen_at__gt=first.seen_at + timedelta(seconds=3)).exists)
    busy = residence.stop_file().parent / "busy"
    until(lambda: not any(busy.iterdir()) and any(working.reads(pid) for pid in working.workers(session)))


def test_a_killed_idle_worker_that_held_the_queues_lock(child_environment: dict[str, str], sink: Sink) -> None:
    """The cluster is wedged in silence: noticed, killed with all its processes, started again; the mail goes out."""
    with Work(child_environment, *QUICK, delivery=sink.url) as work:
        session = work.started()
        settled(session)
        holder = next(pid for pid in working.workers(session) if working.reads(pid))
        os.kill(holder, signal.SIGKILL)
        mail()
        assert "no heartbeat" in work.wait_for("cluster.put_down")["reason"]
        work.started(count=2)
        assert working.members(session) == set()
        sink.wait_for(1)
        assert list(sink.copies().values()) == [1]


@pytest.mark.parametrize("victim", ["main", "sentinel"])
def test_a_killed_head_of_the_cluster(child_environment: dict[str, str], sink: Sink, victim: str) -> None:
    """What it leaves behind is ended too, and another cluster takes over."""
    with Work(child_environment, *QUICK, delivery=sink.url) as work:
        session = work.started()
        os.kill(session if victim == "main" else working.sentinel(session), signal.SIGKILL)
        work.started(count=2)
        assert working.members(session) == set()
        mail()
        sink.wait_for(1)
        assert work.wait_for("cluster.put_down")["again_in_seconds"] == 0


def test_a_task_that_kills_its_worker_is_run_once(
    child_environment: dict[str, str], sink: Sink, tmp_path: Path
) -> None:
    """django-q2 would deliver it again after `retry` seconds, for ever; the rest of the system goes on meanwhile."""
    deaths = tmp_path / "deaths"
    with Work(child_environment, *QUICK, delivery=sink.url, retry=3) as work:
        work.started()
        async_task("tests.queues.engine.cluster_tasks.die", str(deaths))
        until(deaths.exists)
        died_at = timezone.now()
        mail()
        sink.wait_for(1)
        # Three times the time after which the broker hands it out again.
        until(lambda: Heartbeat.objects.filter(name__startswith="cluster:", seen_at__gt=died_at + timedelta(seconds=9)))
        assert len(deaths.read_text().splitlines()) == 1
        assert not OrmQ.objects.filter(lock__gt=died_at + timedelta(minutes=1)).exists()
        assert work.of("cluster.put_down") == []


def test_a_task_delivered_twice(child_environment: dict[str, str], sink: Sink) -> None:
    """Two drains of one queue send every mail once."""
    for number in range(20):
        mail(f"u{number}@example.com")
    twin = OrmQ.objects.filter(key=Conf.CLUSTER_NAME).get()
    OrmQ.objects.bulk_create(OrmQ(key=twin.key, payload=twin.payload, lock=twin.lock) for _ in range(3))
    with Work(child_environment, *QUICK, delivery=sink.url) as work:
        sink.wait_for(20)
        until(lambda: not OrmQ.objects.filter(key=Conf.CLUSTER_NAME).exists())
        assert work.stop() == 0
    assert sorted(sink.copies().values()) == [1] * 20


def test_sigterm_ends_at_once_although_a_drain_is_resident(child_environment: dict[str, str], sink: Sink) -> None:
    """The drain has 50 s, a retry due in 5 s keeps it there; it is asked to end early and leaves nothing in between."""
    sink.set_behaviour("451")
    with Work(child_environment, *QUICK, delivery=sink.url) as work:
        session = work.started()
        mail()
        until(lambda: len([line for line in sink.transcript() if "MAIL FROM" in line]) >= 2)
        assert work.stop(within=15) == 0
        assert work.wait_for("supervisor.ended")["by_itself"]
        assert working.members(session) == set()
    assert not residence.stop_file().exists()
    (message,) = EmailMessage.objects.all()
    assert message.status == "retrying"
    assert message.last_code != "lost"


def test_a_killed_supervisor_leaves_a_cluster_that_the_next_one_ends(
    child_environment: dict[str, str], sink: Sink
) -> None:
    """Never two clusters, and the first one's mails in hand are not cut off."""
    with Work(child_environment, *QUICK, delivery=sink.url) as work:
        first = work.started()
        work.process.kill()
        work.process.wait()
        assert len(working.members(first)) >= 10
        work.begin()
        assert work.wait_for("cluster.left_over")["pid"] == first
        second = work.started(count=2)
        assert working.members(first) == set()
        mail()
        sink.wait_for(1)
        assert work.stop() == 0
        assert working.members(second) == set()


def test_an_orphaned_worker_alone_is_found_and_ended(child_environment: dict[str, str]) -> None:
    """Supervisor, main process and sentinel are killed; the pid file names a process that is no more."""
    with Work(child_environment, *QUICK) as work:
        first = work.started()
        work.process.kill()
        work.process.wait()
        working.kill(working.sentinel(first))
        working.kill(first)
        until(lambda: first not in working.members(first))
        assert working.members(first)
        work.begin()
        work.started(count=2)
        assert working.members(first) == set()


def test_a_second_supervisor_refuses(child_environment: dict[str, str]) -> None:
    """It says so and ends; the first one's cluster is left alone."""
    with Work(child_environment, *QUICK) as work:
        session = work.started()
        with Work(child_environment, *QUICK) as second:
            assert second.process.wait(timeout=20) != 0
            until(lambda: "already supervised" in second.told())
        assert len(working.members(session)) >= 10


def test_workers_that_are_all_at_work_are_no_reason(child_environment: dict[str, str], tmp_path: Path) -> None:
    """Six tasks hold all six workers for twice the time without a heartbeat."""
    pipe, held = tmp_path / "pipe", tmp_path / "held"
    os.mkfifo(pipe)
    with Work(child_environment, "--beat", "1", "--silence", "6") as work:
        session = work.started()
        for _ in range(Conf.WORKERS):
            async_task("tests.queues.engine.cluster_tasks.hold", str(held), str(pipe))
        until(lambda: held.exists() and len(held.read_text().splitlines()) == Conf.WORKERS)
        held_at = timezone.now()
        supervised = Heartbeat.objects.filter(
            name__startswith="supervisor:", seen_at__gt=held_at + timedelta(seconds=13)
        )
        until(supervised.exists)
        assert not Heartbeat.objects.filter(name__startswith="cluster:", seen_at__gt=held_at + timedelta(seconds=4))
        assert work.of("cluster.put_down") == []
        pipe.write_bytes(b"")
        until(
            lambda: Heartbeat.objects.filter(name__startswith="cluster:", seen_at__gt=held_at + timedelta(seconds=13))
        )
        assert work.of("cluster.put_down") == []
        assert len(working.members(session)) >= 10


def test_a_database_that_is_away_is_no_reason(child_environment: dict[str, str], sink: Sink) -> None:
    """Longer than the time without a heartbeat; what was enqueued before goes out afterwards, by the same cluster."""
    with Work(child_environment, "--beat", "1", "--silence", "4", delivery=sink.url) as work:
        session = work.started()
        settled(session)
        outage(work)
        mail()
        sink.wait_for(1, timeout=40)
        assert work.of("cluster.put_down") == []
        assert len(working.members(session)) >= 10


def outage(work: Work) -> None:
    """For longer than the silence it permits, the database takes no connection (PostgreSQL) or no write (SQLite)."""
    if connection.vendor == "sqlite":
        begun = timezone.now()
        with transaction.atomic():  # begins as IMMEDIATE: nobody else can write
            until(lambda: timezone.now() > begun + timedelta(seconds=8))
        return
    name = connection.settings_dict["NAME"]
    connection.close()
    server_url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres").geturl()
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            work.wait_for("supervisor.database_away", count=7)
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
