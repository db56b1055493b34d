"""Exports: what is in the list is in the file, masked, harmless in a spreadsheet, and recorded."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from queues.desk import exports
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail, person

pytestmark = pytest.mark.django_db

PAGE = "/admin/queues/emailmessage/export/"


def lines(form: str = "csv", selection: Selection | None = None) -> str:
    said: dict[str, Any] = {"queue": "email", "actor": Actor.shell(), "reason": "audit", "clock": timezone.now}
    return "".join(exports.begin(selection=selection or Selection(), form=form, **said))


def test_every_item_newest_first_over_many_pages(monkeypatch):
    monkeypatch.setattr(exports, "PAGE", 3)
    items = [mail() for _ in range(8)]
    rows = list(csv.DictReader(io.StringIO(lines())))
    assert [int(row["id"]) for row in rows] == [item.pk for item in reversed(items)]
    assert [json.loads(line)["id"] for line in lines("ndjson").splitlines()] == [item.pk for item in reversed(items)]


def test_only_what_was_meant():
    dead, _sent = mail(), mail(Status.SUCCEEDED)
    rows = list(csv.DictReader(io.StringIO(lines(selection=Selection(status="dead_letter")))))
    assert [int(row["id"]) for row in rows] == [dead.pk]


@pytest.mark.parametrize("form", exports.FORMS)
def test_no_person_and_no_content_is_in_it(form: str):
    words = "550 <anna.secret@example.com>: no such user (anna.secret@example.com)"
    mail(recipient="anna.secret@example.com", subject="sentinel-subject", text="sentinel-text", last_words=words)
    said = lines(form)
    assert "anna.secret" not in said
    assert "sentinel" not in said
    assert "a…@example.com" in said


@pytest.mark.parametrize("words", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_runs_nothing_of_it(words: str):
    mail(last_code=words, last_words=words)
    (row,) = csv.DictReader(io.StringIO(lines(), newline=""))
    assert row["code"] == row["words"] == f"'{words}"


def test_beginning_and_end_are_recorded():
    mail(), mail()
    lines()
    end, begin = LedgerEntry.objects.order_by("-id")
    assert (begin.act, begin.reason, begin.plan) == ("export", "audit", "all")
    assert (end.act, end.item_count, end.result["form"]) == ("export ended", 2, "csv")


def test_one_that_broke_off_says_how_far_it_came():
    [mail() for _ in range(5)]
    said: dict[str, Any] = {"queue": "email", "actor": Actor.shell(), "reason": "x", "clock": timezone.now}
    reading: Any = exports.begin(selection=Selection(), form="ndjson", **said)
    next(reading), next(reading)
    reading.close()
    assert LedgerEntry.objects.order_by("-id")[0].item_count == 2


def test_only_who_may_look():
    said: dict[str, Any] = {"queue": "email", "selection": Selection(), "reason": "x", "clock": timezone.now}
    with pytest.raises(PermissionDenied):
        exports.begin(form="csv", actor=Actor.of(person("customer")), **said)
    with pytest.raises(LookupError):
        exports.begin(form="xlsx", actor=Actor.shell(), **said)
    assert not LedgerEntry.objects.exists()


def test_its_page_streams_a_file():
    mail(), mail(Status.SUCCEEDED)
    client = client_of("observer")
    assert "Export e-mails" in client.get(f"{PAGE}?status=dead_letter").content.decode()
    assert client.post(f"{PAGE}?status=dead_letter", {"form": "csv", "reason": ""}).status_code == 400
    response = client.post(f"{PAGE}?status=dead_letter", {"form": "csv", "reason": "audit"})
    assert response["Content-Disposition"].startswith('attachment; filename="email-')
    body = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    assert len(body.splitlines()) == 2
    assert LedgerEntry.objects.filter(actor_name="observer", act="export").count() == 1
