"""Wake-ups: sent after the commit and no more often than needed; lost ones cost time only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.db import OperationalError, transaction
from django_q.models import OrmQ

from queues.email import emails
from queues.email.models import EmailMessage
from queues.engine import wake
from queues.engine.heartbeats import Heartbeat
from tests.queues.engine.working import Work, until
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_earlier_hints() -> None:
    """What another test hinted at a moment ago does not count."""
    wake._hinted.clear()


def hints() -> list[tuple[str, tuple[str, ...]]]:
    """The tasks that were sent, oldest first."""
    return [(row.task["func"], row.task["args"]) for row in OrmQ.objects.order_by("pk")]


def test_a_hint_is_sent_after_the_commit() -> None:
    """Before it, a drain would look and see nothing."""
    with transaction.atomic():
        wake.soon("email")
        assert hints() == []
    assert hints() == [("queues.tasks.drain", ("email",))]


def test_a_transaction_that_is_rolled_back_hints_at_nothing() -> None:
    """And does not keep the next one from hinting."""
    with transaction.atomic():
        wake.soon("email")
        transaction.set_rollback(True)
    assert hints() == []
    wake.soon("email")
    assert len(hints()) == 1


def test_hints_of_one_moment_are_one() -> None:
    """A thousand mails in a second are one drain's work."""
    for _ in range(5):
        wake.soon("email")
    wake.soon("job")
    assert hints() == [("queues.tasks.drain", ("email",)), ("queues.tasks.drain", ("job",))]


def test_a_later_hint_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds later."""
    clock = 1000.0
    monkeypatch.setattr(wake, "time", SimpleNamespace(monotonic=lambda: clock))
    wake.soon("email")
    clock += wake.COALESCE_SECONDS - 0.01
    wake.soon("email")
    assert len(hints()) == 1
    clock += 0.02
    wake.soon("email")
    assert len(hints()) == 2


def test_a_hint_that_cannot_be_sent_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail is stored; the clock finds it."""

    def away(*args: object, **kwargs: object) -> None:
        raise ConnectionError("the broker is away")

    monkeypatch.setattr("django_q.tasks.async_task", away)
    message = emails.enqueue(to=["anna@example.com"], subject="Hello", text="Hello")
    assert EmailMessage.objects.filter(pk=message.pk, status="pending").exists()


def test_a_hint_that_the_database_refused_does_not_hold_back_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And is one line in the log, not a traceback."""

    def gone(*_given: object, **_named: object) -> None:
        raise OperationalError("connection refused\nIs the server running?")

    with monkeypatch.context() as away:
        away.setattr("django_q.tasks.async_task", gone)
        wake.soon("email")
    assert "wake.lost" in caplog.text
    assert "Traceback" not in caplog.text
    wake.soon("email")
    assert hints() == [("queues.tasks.drain", ("email",))]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A mail server that keeps what it gets."""
    with Sink() as sink:
        yield sink


@pytest.mark.slow
def test_a_mail_is_sent_within_two_seconds(child_environment: dict[str, str], sink: Sink) -> None:
    """From the commit to the mail server, by workers that have nothing else to do."""
    with Work(child_environment, delivery=sink.url) as work:
        work.started()
        until(Heartbeat.objects.filter(name__startswith="cluster:").exists)
        until(lambda: not OrmQ.objects.exists())
        begun = time.monotonic()
        with transaction.atomic():
            emails.enqueue(to=["anna@example.com"], subject="Hello", text="Hello")
        sink.wait_for(1)
        assert time.monotonic() - begun < 2


@pytest.mark.slow
def test_a_lost_hint_costs_seconds_not_a_minute(child_environment: dict[str, str], sink: Sink) -> None:
    """The supervisor sees work that nobody came for."""
    with Work(child_environment, delivery=sink.url) as work:
        work.started()
        until(Heartbeat.objects.filter(name__startswith="cluster:").exists)
        wake._hinted["email"] = time.monotonic() + 60  # as if a hint had been sent, and lost
        emails.enqueue(to=["anna@example.com"], subject="Hello", text="Hello")
        sink.wait_for(1, timeout=10)
