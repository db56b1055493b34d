"""`manage.py queues <verb>`: the desk from a shell, the same functions as the pages and the API."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from queues.desk.bulk.operation import Operation
from queues.desk.ledger import LedgerEntry
from queues.email.models import EmailMessage, Suppression
from queues.engine.failure_groups import FailureGroup
from queues.engine.pauses import Pause
from queues.engine.states import Status
from tests.queues.desk.people import mail

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str) -> str:
        call_command("queues", *words)
        return capsys.readouterr().out

    return call


def test_every_act_has_its_verb_with_its_parameters(run: Any):
    item = mail(Status.PENDING)
    said = run("snooze", "email", "--id", str(item.pk), "--hours", "2", "--reason", "later")
    assert "Snoozed: 1." in said
    assert EmailMessage.objects.get().due_at > timezone.now() + timedelta(minutes=119)
    with pytest.raises(CommandError, match="hours: it is needed"):
        run("snooze", "email", "--id", str(item.pk), "--reason", "later")
    assert "Given another priority: 1." in run(
        "prioritize", "email", "--id", str(item.pk), "--priority", "high", "--reason", "x"
    )


def test_what_was_planned_is_what_is_done(run: Any, tmp_path: Path):
    first, kept = mail(), tmp_path / "plan"
    assert "Would be redriven: 1." in run("redrive", "email", "--dry-run", "--save-plan", str(kept))
    second = mail()
    assert "Redriven: 1." in run("redrive", "email", "--plan", str(kept), "--reason", "repaired")
    first.refresh_from_db(), second.refresh_from_db()
    assert (first.status, second.status) == (Status.PENDING, Status.DEAD_LETTER)
    assert "Redriven: 0." in run("redrive", "email", "--plan", str(kept), "--reason", "again")
    kept.write_text("forged")
    with pytest.raises(CommandError, match="too old or was altered"):
        run("redrive", "email", "--plan", str(kept), "--reason", "x")


def test_an_operation_from_its_beginning_to_its_undoing(run: Any):
    mail(), mail()
    assert "is prepared: 2 items" in run("prepare", "email", "--act", "purge", "--status", "dead_letter")
    made = Operation.objects.get()
    run("start", str(made.pk), "--pace", "60", "--reason", "test data")
    assert "was aborted after 0 of 2" in run("abort", str(made.pk), "--reason", "enough")
    assert f"{made.pk}  aborted  purge in email" in run("operations")
    with pytest.raises(CommandError, match="there is nothing to undo"):
        run("undo", str(made.pk))
    run("purge", "email", "--status", "dead_letter", "--reason", "test data")
    at_once = Operation.objects.latest("pk")
    assert "2 items back" in run("undo", str(at_once.pk))
    assert "2 items, 6000 a minute" in run("restore", "email", "--purged", "--pace", "6000", "--reason", "x")


def test_a_type_is_paused_until_it_resumes_by_itself(run: Any):
    assert "Paused." in run("pause", "email", "--type", "newsletter", "--for", "2h", "--reason", "incident")
    pause = Pause.objects.get()
    assert (pause.kind, pause.resume_at is not None) == ("newsletter", True)
    assert "paused already" in run("pause", "email", "--type", "newsletter", "--reason", "x")
    assert "Resumed." in run("resume", "email", "--type", "newsletter", "--reason", "over")
    with pytest.raises(CommandError, match="a length is a number"):
        run("pause", "email", "--for", "soon", "--reason", "x")


def test_groups_and_what_is_said_of_them(run: Any):
    seen = dict.fromkeys(("first_seen_at", "last_seen_at", "changed_at"), timezone.now())
    FailureGroup.objects.create(queue="email", fingerprint="0" * 16, code="timeout", **seen)
    assert "timeout" in run("groups", "email")
    assert "It is ignored." in run("ignore", "email", "0" * 16, "--for", "4h", "--reason", "known")
    assert "It is opened again." in run("reopen", "email", "0" * 16, "--reason", "x")
    with pytest.raises(CommandError, match="has no group"):
        run("resolve", "email", "f" * 16, "--reason", "x")


def test_addresses_are_suppressed_and_lifted(run: Any):
    assert "Suppressed." in run("suppress", "Anna@Example.com", "--reason", "asked")
    assert Suppression.objects.get().address == "anna@example.com"
    assert "Lifted." in run("lift", str(Suppression.objects.get().pk), "--reason", "asked again")
    with pytest.raises(CommandError, match="no e-mail address"):
        run("suppress", "nobody", "--reason", "x")


def test_items_are_listed_shown_unmasked_and_exported(run: Any, tmp_path: Path):
    item = mail(recipient="anna@example.com", text="sentinel")
    assert "a…@example.com" in run("list", "email", "--filter", "status:dead_letter")
    assert "It was given up" in run("show", "email", str(item.pk))
    assert json.loads(run("payload", "email", str(item.pk), "--reason", "customer called"))["text"] == "sentinel"
    file = tmp_path / "items.csv"
    run("export", "email", "--output", str(file), "--reason", "audit")
    assert "a…@example.com" in file.read_text()
    acts = [entry.act for entry in LedgerEntry.objects.order_by("pk")]
    assert acts == ["view payload", "export", "export ended"]
    assert "view payload email" in run("ledger")


@pytest.mark.parametrize(
    "words",
    [
        ("pause", "email"),
        ("payload", "email", "1"),
        ("export", "email"),
        ("run", "email"),
        ("suppress", "a@example.com"),
        ("purge", "email", "--status", "dead_letter"),
    ],
)
def test_without_a_reason_nothing_is_done(run: Any, words: tuple[str, ...]):
    mail(pk=1) if not EmailMessage.objects.filter(pk=1).exists() else None
    with pytest.raises(CommandError, match="--reason"):
        run(*words)
    assert not LedgerEntry.objects.exists()


def test_a_schedule_runs_now(run: Any, django_capture_on_commit_callbacks: Any):
    with django_capture_on_commit_callbacks(execute=True):
        assert "was handed to the workers" in run("run", "email", "--reason", "in a hurry")
    assert LedgerEntry.objects.get().act == "run schedule"
