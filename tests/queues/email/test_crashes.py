"""Workers that die, lose their database or meet each other: nothing is lost, next to nothing is repeated."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from queues.email import emails
from queues.email.models import EmailMessage
from queues.email.queue import EMAIL
from queues.engine.states import Status
from tests.conftest import ROOT
from tests.queues.email.conftest import DrainAt
from tests.smtp_sink import Sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

HANDS = EMAIL.hands
UNLIMITED = "email=100000000/60,email.recipient=100000000/60"

type Worker = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def worker(sink: Sink, child_environment: dict[str, str], manage: list[str]) -> Iterator[Worker]:
    """Start `manage.py drain email` on this test's database and SMTP server."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = {**child_environment, "TEST_EMAIL_DELIVERY_URL": sink.url, "TEST_RATE_LIMITS": UNLIMITED}
        child = subprocess.Popen([*manage, "drain", "email"], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()


def fill(count: int) -> None:
    for start in range(0, count, 500):
        emails.enqueue_many(
            [
                emails.Draft(to=[f"u{n}@example.com"], subject=f"Hello {n}", text="text", html="<p>html</p>")
                for n in range(start, min(start + 500, count))
            ]
        )


def all_sent(count: int) -> bool:
    return EmailMessage.objects.filter(status=Status.SUCCEEDED).count() == count


def let_the_leases_run_out() -> None:
    held = EmailMessage.objects.filter(status=Status.PROCESSING)
    held.update(leased_until=F("leased_until") - timedelta(seconds=40))


def test_kill_9_in_the_middle_repeats_at_most_one_mail_a_connection(sink: Sink, worker: Worker, drain: DrainAt):
    fill(600)
    for already in (100, 300):
        child = worker()
        sink.wait_for(already)
        child.kill()
        child.wait()
        let_the_leases_run_out()
    drain()
    assert all_sent(600)
    copies = sink.copies()
    assert len(copies) == 600, "none lost"
    assert sum(copies.values()) - 600 <= 2 * HANDS
    assert EmailMessage.objects.filter(attempts__gt=3).count() == 0


def test_what_a_dead_worker_held_is_sent_when_its_lease_has_run_out(sink: Sink, worker: Worker, drain: DrainAt):
    sink.set_behaviour("stall-message")
    fill(60)
    child = worker()
    deadline = time.monotonic() + 30
    while EmailMessage.objects.filter(status=Status.PROCESSING).count() < 50 and time.monotonic() < deadline:
        time.sleep(0.05)  # another process's database work: there is nothing to wait on but the rows
    child.kill()
    child.wait()
    sink.set_behaviour("ok")
    assert drain() == {"ack": 10}, "what it held stays leased"
    lease = EmailMessage.objects.filter(status=Status.PROCESSING).latest("leased_until").leased_until
    assert lease is not None
    assert lease - timezone.now() <= timedelta(seconds=30)
    counts = drain(at=lease + timedelta(seconds=1))
    assert (counts["reclaimed"], counts["ack"]) == (50, 50)
    assert all_sent(60)
    assert max(sink.copies().values()) == 1, "the server had taken none of them"


def test_four_workers_at_once_send_every_mail_once(sink: Sink, worker: Worker):
    fill(1000)
    children = [worker() for _ in range(4)]
    assert [child.wait(timeout=90) for child in children] == [0] * 4
    assert all_sent(1000)
    assert Counter(sink.copies().values()) == {1: 1000}
    assert EmailMessage.objects.filter(attempts=1, runs=1).count() == 1000


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no sessions to cut")
def test_cutting_the_database_sessions_repeats_nothing_and_loses_nothing(sink: Sink, worker: Worker):
    fill(1000)
    child = worker()
    for already in (150, 300, 450):
        sink.wait_for(already)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    assert child.wait(timeout=90) == 0
    let_the_leases_run_out()
    assert worker().wait(timeout=90) == 0
    assert all_sent(1000)
    copies = sink.copies()
    assert len(copies) == 1000
    assert sum(copies.values()) - 1000 <= 3 * HANDS


def test_a_clock_that_jumps_an_hour_repeats_nothing(sink: Sink, settings: Settings):
    from queues.engine import registry
    from queues.engine.drain import Drain

    fill(300)
    jumps = iter([0, 0, 3600, 3600, -3600, 0] * 10_000)
    drain = Drain(registry.get("email"), clock=lambda: timezone.now() + timedelta(seconds=next(jumps)))
    drain.run()
    Drain(registry.get("email"), clock=lambda: timezone.now() + timedelta(hours=2)).run()
    assert all_sent(300)
    assert Counter(sink.copies().values()) == {1: 300}
