"""The commands `queues`, `redrive` and `purge`: the desk from a shell."""

from __future__ import annotations

import getpass
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from queues.desk import plans
from queues.desk.ledger import LedgerEntry
from queues.email.models import EmailMessage
from queues.engine.pauses import Pause
from queues.engine.states import Status
from tests.queues.desk.people import mail

pytestmark = pytest.mark.django_db


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    call_command(*words)
    return capsys.readouterr().out


def test_queues_is_a_table_of_what_waits(capsys):
    now = timezone.now()
    mail(Status.PENDING, due_at=now - timedelta(minutes=5, seconds=1)), mail(Status.RETRYING), mail(Status.PROCESSING)
    mail(), mail(), mail(hidden_at=now), mail(Status.SUCCEEDED)
    Pause.objects.create(queue="email", kind="newsletter", reason="x", paused_at=now)
    lines = run(capsys, "queues").splitlines()
    assert lines[0].split() == ["queue", "waiting", "oldest", "due", "processing", "retrying", "dead", "paused"]
    (email,) = [line.split() for line in lines if line.startswith("email")]
    assert email == ["email", "2", "5", "min", "1", "1", "2", "newsletter"]


def test_redrive_takes_all_dead_letters_or_those_that_are_named(capsys):
    old, named = mail(last_code="timeout"), mail(kind="newsletter")
    assert "Redriven: 1." in run(capsys, "redrive", "email", "--type", "newsletter", "--reason", "repaired")
    named.refresh_from_db(), old.refresh_from_db()
    assert (named.status, old.status) == (Status.PENDING, Status.DEAD_LETTER)
    assert "Redriven: 1." in run(capsys, "redrive", "email", "--reason", "repaired")
    entry = LedgerEntry.objects.first()
    assert entry is not None
    assert (entry.actor, entry.actor_name, entry.reason) == (None, f"shell:{getpass.getuser()}", "repaired")


def test_a_dry_run_changes_nothing(capsys):
    mail()
    assert "Would be redriven: 1." in run(capsys, "redrive", "email", "--dry-run")
    assert EmailMessage.objects.get().version == 0
    assert not LedgerEntry.objects.exists()


def test_more_than_one_act_holds_takes_several(capsys, monkeypatch):
    monkeypatch.setattr(plans, "AT_ONCE", 2)
    [mail(bodies_removed_at=timezone.now() if number in (3, 4) else None) for number in range(7)]
    said = run(capsys, "redrive", "email", "--reason", "repaired")
    assert "Redriven: 5." in said, "those that cannot run again do not stop it"
    assert "its text was removed" in said


def test_purge_of_named_items(capsys):
    sent, waiting = mail(Status.SUCCEEDED), mail(Status.PENDING)
    said = run(capsys, "purge", "email", "--id", str(sent.pk), str(waiting.pk), "--reason", "test data")
    assert "Purged: 1." in said
    assert "Left alone: 1 still pending." in said
    assert EmailMessage.objects.get(hidden_at__isnull=False) == sent


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["redrive", "nothing"], "no queue is named 'nothing'"),
        (["redrive", "email"], "--reason"),
        (["redrive", "email", "--reason", " "], "--reason"),
        (["purge", "email", "--reason", "x"], "Say what to purge"),
    ],
)
def test_it_says_what_is_wrong(words: list[Any], complaint: str):
    mail()
    with pytest.raises(CommandError, match=complaint):
        call_command(*words)
    assert EmailMessage.objects.get().version == 0
