"""By the API: pauses, schedules, groups, addresses, the ledger; its keys replaced; the clock's own pages."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from queues.desk import ledger
from queues.desk.ledger import LedgerEntry
from queues.email import emails
from queues.email.models import EmailMessage, Suppression
from queues.engine import pauses, recurring, registry
from queues.engine.failure_groups import FailureGroup
from queues.engine.pauses import Pause
from queues.engine.states import Status
from tests.queues.desk.api_caller import Program, problem
from tests.queues.desk.people import client_of, mail, person

pytestmark = pytest.mark.django_db

EMAIL = "/api/v1/queues/email/"


class TestPause:
    def test_one_type_until_it_resumes_by_itself(self):
        program, now = Program("view_emailmessage", "pause_emailmessage"), timezone.now()
        until = now + timedelta(hours=1)
        body = {"reason": "incident", "type": "newsletter", "resume_at": until.isoformat()}
        assert program.post(f"{EMAIL}pause/", body).json() == {"done": True}
        assert program.post(f"{EMAIL}pause/", body).json() == {"done": False}
        assert pauses.paused_kinds(queue="email", now=now) == ["newsletter"]
        assert pauses.paused_kinds(queue="email", now=until) == [], "nobody has to do anything"
        (email,) = program.get("/api/v1/queues/").json()["results"]
        assert email["paused"] == ["newsletter"]
        with time_machine.travel(until + timedelta(seconds=1)):
            (email,) = program.get("/api/v1/queues/").json()["results"]
            assert email["paused"] == []
            assert "Resume" not in client_of("operator").get("/admin/queues/pause/").content.decode()

    def test_the_same_on_its_page(self):
        client = client_of("operator")
        form = {"reason": "incident", "kind": "newsletter", "hours": "4"}
        assert client.post("/admin/queues/pause/email/pause/", form).status_code == 302
        pause = Pause.objects.get()
        assert pause.kind == "newsletter"
        assert pause.resume_at is not None
        assert timedelta(hours=3.9) < pause.resume_at - timezone.now() < timedelta(hours=4.1)

    def test_resumed_it_is_over(self):
        program = Program("view_emailmessage", "pause_emailmessage")
        Pause.objects.create(queue="email", reason="x", paused_at=timezone.now())
        assert program.post(f"{EMAIL}resume/", {"reason": "over"}).json() == {"done": True}
        assert program.post(f"{EMAIL}resume/", {"reason": "over"}).json() == {"done": False}
        assert [entry.act for entry in LedgerEntry.objects.all()] == ["resume"]

    @pytest.mark.parametrize("body", [{"resume_at": "2001-01-01T00:00:00Z"}, {"resume_at": "x"}, {"type": "\x00"}, {}])
    def test_a_wrong_wish_is_refused(self, body: dict[str, Any]):
        program = Program("view_emailmessage", "pause_emailmessage")
        wrong = body | ({"reason": "x"} if body else {})
        assert program.post(f"{EMAIL}pause/", wrong).status_code == 400
        assert not Pause.objects.exists()


def test_a_purge_is_restorable_for_seven_days_on_page_and_api():
    item = mail(Status.SUCCEEDED)
    now = timezone.now()
    EmailMessage.objects.update(hidden_at=now)
    program = Program("view_emailmessage", "restore_emailmessage")
    for days, count in [(6.9, 1), (7.1, 0)]:
        with time_machine.travel(now + timedelta(days=days)):
            planned = program.post(f"{EMAIL}acts/restore/plan/", {"ids": [item.pk]}).json()
            assert planned["count"] == count
            page = client_of("operator").get(f"/admin/queues/emailmessage/act/restore/?id={item.pk}").content.decode()
            assert ("1</span> will be restored" in page) == bool(count)


def test_processed_events_are_replayed_on_page_and_api():
    item = mail(Status.SUCCEEDED)
    program = Program("view_emailmessage", "replay_emailmessage")
    plan = program.post(f"{EMAIL}acts/replay/plan/", {"status": "succeeded"}).json()["plan"]
    assert program.post(f"{EMAIL}acts/replay/", {"plan": plan, "reason": "again"}).json()["done"] == 1
    item.refresh_from_db()
    assert item.status == Status.PENDING


class TestRunning:
    def test_who_configures_the_queue_runs_its_schedule(self, django_capture_on_commit_callbacks: Any):
        program = Program("view_emailmessage", "configure_emailmessage")
        before = OrmQ.objects.count()
        with django_capture_on_commit_callbacks(execute=True):
            assert program.post(f"{EMAIL}run/", {"reason": "in a hurry"}).json() == {"done": True}
        assert OrmQ.objects.count() == before + 1
        assert LedgerEntry.objects.get().act == "run schedule"
        refused = Program("view_emailmessage").post(f"{EMAIL}run/", {"reason": "x"})
        assert problem(refused)["code"] == "permission_denied"
        assert LedgerEntry.objects.filter(act="refused run schedule").exists()

    def test_the_group_administrator_runs_any_on_its_page(self):
        user = User.objects.create_user("chief", is_staff=True)
        user.groups.add(Group.objects.get(name="Administrator"))
        row = Schedule.objects.first()
        assert row is not None
        assert client_of("chief").get(f"/admin/django_q/schedule/{row.pk}/run/").status_code == 200
        assert client_of("operator").get(f"/admin/django_q/schedule/{row.pk}/run/").status_code == 403


class TestRecords:
    def test_groups_are_listed_and_spoken_of(self):
        seen = dict.fromkeys(("first_seen_at", "last_seen_at", "changed_at"), timezone.now())
        group = FailureGroup.objects.create(queue="email", fingerprint="0" * 16, code="timeout", **seen)
        mail(fingerprint="0" * 16)
        program = Program("view_emailmessage", "view_failuregroup", "triage_failuregroup")
        (told,) = program.get(f"{EMAIL}groups/").json()["results"]
        assert (told["code"], told["dead_letters"], told["state"]) == ("timeout", 1, "open")
        address = f"{EMAIL}groups/{group.pk}/"
        assert program.post(f"{address}ignore/", {"reason": "known"}).status_code == 400
        until = (timezone.now() + timedelta(hours=4)).isoformat()
        assert program.post(f"{address}ignore/", {"reason": "known", "until": until}).json() == {"done": True}
        assert program.post(f"{address}forgive/", {"reason": "x"}).status_code == 404
        assert program.get(f"{EMAIL}groups/", {"state": "ignored"}).json()["results"][0]["note"] == "known"
        assert program.get(f"{EMAIL}groups/", {"state": "nosuch"}).status_code == 400

    def test_addresses_are_suppressed_and_lifted(self):
        program = Program("view_suppression", "add_suppression", "lift_suppression")
        body = {"address": "Anna@Example.com", "reason": "asked"}
        assert program.post(f"{EMAIL}suppressions/", body).json() == {"done": True}
        (told,) = program.get(f"{EMAIL}suppressions/", {"address": "anna@example.com"}).json()["results"]
        assert program.post(f"{EMAIL}suppressions/{told['id']}/lift/", {"reason": "again"}).json() == {"done": True}
        assert Suppression.objects.get().lifted_at is not None
        assert program.post(f"{EMAIL}suppressions/", body | {"address": "nobody"}).status_code == 400

    def test_the_ledger_is_read_in_pages(self):
        program = Program("view_ledgerentry", "view_emailmessage", "pause_emailmessage")
        for number in range(51):
            name = "pause" if number % 2 == 0 else "resume"
            program.post(f"{EMAIL}{name}/", {"reason": str(number)})
        first = program.get("/api/v1/queues/ledger/").json()
        assert [entry["reason"] for entry in first["results"]] == [str(number) for number in range(50, 0, -1)]
        second = program.get("/api/v1/queues/ledger/", {"before": first["before"]}).json()
        assert (len(second["results"]), second["before"]) == (1, None)

    def test_an_export_by_the_api_is_that_of_the_page(self):
        mail(), mail(Status.SUCCEEDED)
        program = Program("view_emailmessage")
        answer = program.post(f"{EMAIL}export/", {"form": "csv", "status": "dead_letter", "reason": "audit"})
        (row,) = csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode()))
        assert row["status"] == "dead_letter"
        assert [entry.act for entry in LedgerEntry.objects.order_by("pk")] == ["export", "export ended"]
        assert Program("view_attempt").post(f"{EMAIL}export/", {"form": "csv", "reason": "x"}).status_code == 403


class TestKeys:
    def record(self) -> None:
        from django.db import transaction

        with transaction.atomic():
            ledger.record(act="x", actor=None, actor_name="shell:x", reason="x", now=timezone.now())

    def test_the_newest_signs_and_all_verify(self, settings: Any):
        settings.LEDGER_KEY = "old"
        self.record()
        settings.LEDGER_KEY = "new,old"
        self.record()
        assert ledger.verify().whole
        first, second = LedgerEntry.objects.order_by("pk")
        assert first.digest == ledger.digest(first, key="old")
        assert second.digest == ledger.digest(second, key="new")
        settings.LEDGER_KEY = "new"
        assert ledger.verify().broken_at == first.pk, "without its key an entry proves nothing"

    def test_an_old_key_signs_nothing_behind_a_new_one(self, settings: Any):
        settings.LEDGER_KEY = "new,old"
        self.record()
        settings.LEDGER_KEY = "old"
        self.record()
        settings.LEDGER_KEY = "new,old"
        forged = LedgerEntry.objects.latest("pk")
        assert ledger.verify().broken_at == forged.pk


class TestClock:
    TABLES = ("schedule", "success", "failure", "ormq")

    def test_an_administrator_sees_its_pages_and_can_do_nothing_there(self):
        client = client_of("administrator")
        now = timezone.now()
        Task.objects.create(id="a", name="a", func="f", started=now, stopped=now, success=False)
        Task.objects.create(id="b", name="b", func="f", started=now, stopped=now, success=True)
        OrmQ.objects.create(key="redrive", payload="x", lock=now)
        models = dict(zip(self.TABLES, (Schedule, Success, Failure, OrmQ), strict=True))
        before = {name: model.objects.count() for name, model in models.items()}
        for name, model in models.items():
            row = model.objects.first()
            assert row is not None, name
            base = f"/admin/django_q/{name}/"
            assert client.get(base).status_code == 200
            assert client.get(f"{base}{row.pk}/change/").status_code == 200
            for path, form in [
                (base, {"action": "delete_selected", "_selected_action": row.pk, "post": "yes", "index": "0"}),
                (base, {"action": "retry_failed", "_selected_action": row.pk, "index": "0"}),
                (f"{base}{row.pk}/delete/", {"post": "yes"}),
                (f"{base}{row.pk}/change/", {"func": "os.system", "name": "x"}),
                (f"{base}add/", {"func": "os.system", "name": "x"}),
            ]:
                client.post(path, form)
        assert {name: model.objects.count() for name, model in models.items()} == before
        assert not Schedule.objects.filter(func="os.system").exists()

    def test_whatever_becomes_of_its_tables_no_item_is_lost(self):
        item = emails.enqueue(to=["anna@example.com"], subject="Hello", text="x")
        OrmQ.objects.all().delete()
        Task.objects.all().delete()
        Schedule.objects.all().delete()
        item.refresh_from_db()
        assert item.status == Status.PENDING
        assert EmailMessage.objects.due(now=timezone.now()).get() == item
        from config.schedules import TABLE

        recurring.sync(TABLE, now=timezone.now())
        drains = {f"{recurring.PREFIX}drain {queue.name}" for queue in registry.all_queues()}
        named = set(Schedule.objects.values_list("name", flat=True))
        assert f"{recurring.PREFIX}drain email" in drains & named, "the next deployment makes the clock whole"


def test_refused_attempts_on_addresses_and_groups_are_recorded():
    row = Suppression.objects.create(address="a@example.com", cause="manual")
    client = client_of("observer")
    client.post("/admin/queues/suppression/suppress/", {"address": "b@example.com", "scope": "all", "reason": "x"})
    client.post(f"/admin/queues/suppression/{row.pk}/lift/", {"reason": "y"})
    entries = LedgerEntry.objects.order_by("pk")
    assert [(entry.act, entry.queue, entry.reason) for entry in entries] == [
        ("refused suppress", "suppressions", "x"),
        ("refused lift", "suppressions", "y"),
    ]
    assert person("operator").has_perm("queues.lift_suppression")
