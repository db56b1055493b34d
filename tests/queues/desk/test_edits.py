"""Edit and redrive: what may be changed, what refuses, that the original stays, on page, API and command."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from queues.desk import edits
from queues.desk.ledger import LedgerEntry
from queues.email import emails, retention
from queues.email.models import EmailMessage
from queues.engine import registry, transitions
from queues.engine.revisions import Revision
from queues.engine.states import Status
from tests.queues.desk.api_caller import Program, problem
from tests.queues.desk.people import client_of, mail

pytestmark = pytest.mark.django_db

LIST = "/admin/queues/emailmessage/"
SECRET = "sentinel-9b1c"
TEMPLATE = "tests/welcome"
PROTECTED = ("idempotency_key", "message_id", "from_email", "text", "html", "headers", "status", "recipient", "id")


@pytest.fixture
def operator() -> Client:
    return client_of("operator")


@pytest.fixture
def templated(settings: Any, tmp_path: Any) -> EmailMessage:
    """A dead mail that was made from a template."""
    from queues.email import rendering

    folder = tmp_path / "email" / "tests"
    folder.mkdir(parents=True)
    (folder / "welcome.subject.txt").write_text("Hello {{ name }}")
    (folder / "welcome.txt").write_text("Dear {{ name }},\nyour code is {{ code }}.")
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"DIRS": [*settings.TEMPLATES[0]["DIRS"], tmp_path]}]
    rendering._engine.cache_clear()
    context = {"name": "Anna", "code": SECRET}
    made = emails.enqueue(to=["anna@example.com"], template=TEMPLATE, context=context)
    EmailMessage.objects.filter(pk=made.pk).update(status=Status.DEAD_LETTER, dead_at=timezone.now(), attempts=6)
    yield EmailMessage.objects.get(pk=made.pk)
    rendering._engine.cache_clear()


def fields(page: str) -> dict[str, str]:
    """The hidden ones of the form."""
    return dict(re.findall(r'<input type="hidden" name="(version|shown|seen)" value="([^"]*)"', page))


def edit(client: Client, item: Any, **changes: str) -> Any:
    """Look at the difference, then save; returns the last answer."""
    address = f"{LIST}{item.pk}/edit/"
    asked = client.get(address)
    form = {"to": "\n".join(item.to), "cc": "", "bcc": "", "subject": item.subject, "reason": "typo"} | changes
    looked = client.post(address, form | fields(asked.content.decode()) | {"look": "1"})
    assert looked.status_code == 200, looked.content[-2000:]
    return client.post(address, form | fields(looked.content.decode()) | {"save": "1"})


class TestPage:
    def test_an_address_is_corrected_and_the_mail_redriven(self, operator: Client):
        item = mail(recipient="anna@exmaple.com", refused={"x": "y"})
        assert edit(operator, item, to="Anna <Anna@Example.com>\nbob@example.com").status_code == 302
        found = EmailMessage.objects.get(pk=item.pk)
        assert (found.status, found.attempts, found.version) == (Status.PENDING, 0, 1)
        assert found.to == ["Anna <Anna@Example.com>", "bob@example.com"]
        assert (found.recipient, found.recipients) == ("anna@example.com", ["anna@example.com", "bob@example.com"])
        assert (found.message_id, found.idempotency_key) == (item.message_id, item.idempotency_key)

    def test_the_original_is_kept_and_the_difference_shown_on_the_page_and_in_the_ledger(self, operator: Client):
        item = mail(recipient="anna@exmaple.com", subject="Old words")
        edit(operator, item, to="anna@example.com", subject="New words")
        page = operator.get(f"{LIST}{item.pk}/change/").content.decode()
        for word in ("<del>", "Old words", "New words", "anna@exmaple.com", "Edited and redriven by operator"):
            assert word in page, word
        revision, entry = Revision.objects.get(), LedgerEntry.objects.get()
        assert revision.before["to"] == ["anna@exmaple.com"]
        assert (entry.act, entry.items, entry.reason) == ("edit", [item.pk], "typo")
        assert edits.is_original(revision, entry.result)
        assert "exmaple" not in json.dumps(entry.result), "the ledger is for ever, addresses are not"
        shown = operator.get(f"/admin/queues/ledgerentry/{entry.pk}/change/").content.decode()
        assert "anna@exmaple.com" in shown
        revision.before["to"] = ["somebody@example.com"]
        assert not edits.is_original(revision, entry.result)

    def test_nothing_happens_before_the_difference_was_seen(self, operator: Client):
        item = mail(subject="Old")
        address = f"{LIST}{item.pk}/edit/"
        form = {"to": item.recipient, "cc": "", "bcc": "", "subject": "New", "reason": "x", "version": "0"}
        answer = operator.post(address, form | {"save": "1"})
        assert answer.status_code == 200
        looked = fields(answer.content.decode())
        other = operator.post(address, form | looked | {"subject": "Something else", "save": "1"})
        assert "Something else" in other.content.decode()
        assert EmailMessage.objects.get().version == 0
        assert operator.post(address, form | looked | {"save": "1"}).status_code == 302
        assert EmailMessage.objects.get().subject == "New"

    @pytest.mark.parametrize("name", PROTECTED)
    def test_protected_fields_refuse(self, operator: Client, name: str):
        item = mail()
        form = {"to": item.recipient, "cc": "", "bcc": "", "subject": "x", "reason": "x", "version": "0", name: "other"}
        answer = operator.post(f"{LIST}{item.pk}/edit/", form | {"look": "1"})
        assert answer.status_code == 422
        assert EmailMessage.objects.get().version == 0

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("to", "nobody", "no @"),
            ("to", "", "no recipient"),
            ("to", "a@example.com, b@example.com", ""),
            ("subject", "x" * 1200, "longer than"),
            ("subject", "a\x00b", ""),
            ("cc", "x" * 400 + "@example.com", "longer than"),
        ],
    )
    def test_what_could_not_be_sent_is_refused_with_its_reason(
        self, operator: Client, name: str, value: str, words: str
    ):
        item = mail()
        form = {"to": item.recipient, "cc": "", "bcc": "", "subject": "x", "reason": "x", "version": "0", name: value}
        answer = operator.post(f"{LIST}{item.pk}/edit/", form | {"look": "1", "save": "1"})
        assert words in answer.content.decode()
        assert EmailMessage.objects.get().version == 0

    def test_what_changed_meanwhile_is_left_alone(self, operator: Client):
        item = mail(subject="Old")
        address = f"{LIST}{item.pk}/edit/"
        form = {"to": item.recipient, "cc": "", "bcc": "", "subject": "New", "reason": "x", "version": "0"}
        looked = fields(operator.post(address, form | {"look": "1"}).content.decode())
        transitions.redrive(EmailMessage.objects.all(), now=timezone.now())
        operator.post(address, form | looked | {"save": "1"})
        assert EmailMessage.objects.get().subject == "Old"
        assert not Revision.objects.exists()

    @pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING, Status.SUCCEEDED, Status.CANCELLED])
    def test_only_what_failed_is_edited(self, operator: Client, status: str):
        item = mail(status)
        assert operator.get(f"{LIST}{item.pk}/edit/").status_code == 302
        assert "/edit/" not in operator.get(f"{LIST}{item.pk}/change/").content.decode()

    def test_an_observer_may_not_and_that_is_recorded(self):
        item, client = mail(), client_of("observer")
        assert client.get(f"{LIST}{item.pk}/edit/").status_code == 403
        assert client.post(f"{LIST}{item.pk}/edit/", {"subject": "x", "reason": "x"}).status_code == 403
        assert LedgerEntry.objects.get().act == "refused edit"


class TestContext:
    def test_the_bodies_follow_from_it(self, operator: Client, templated: EmailMessage):
        where = operator.post(f"{LIST}{templated.pk}/unmask/")["Location"].removesuffix("#contents")
        seen = where.partition("?")[2]
        address = f"{LIST}{templated.pk}/edit/?{seen}"
        page = operator.get(address).content.decode()
        assert SECRET in page
        form = {"to": templated.recipient, "cc": "", "bcc": "", "subject": templated.subject, "reason": "x"}
        form |= {"context": json.dumps({"name": "Berta", "code": "42"})} | fields(page)
        looked = operator.post(address, form | {"look": "1"}).content.decode()
        assert "Dear Berta" in looked
        assert operator.post(address, form | fields(looked) | {"save": "1"}).status_code == 302
        found = EmailMessage.objects.get(pk=templated.pk)
        assert (found.subject, found.text) == ("Hello Berta", "Dear Berta,\nyour code is 42.")

    def test_without_having_seen_it_it_is_not_in_the_form_and_refuses(self, operator: Client, templated: EmailMessage):
        assert SECRET not in operator.get(f"{LIST}{templated.pk}/edit/").content.decode()
        form = {"to": "a@example.com", "subject": "x", "reason": "x", "version": "0", "context": "{}", "look": "1"}
        assert operator.post(f"{LIST}{templated.pk}/edit/", form).status_code == 403

    def test_a_secret_is_nowhere_for_who_may_not_see_contents(self, operator: Client, templated: EmailMessage):
        program = Program("view_emailmessage", "edit_emailmessage", "view_payload_emailmessage")
        base = f"/api/v1/queues/email/items/{templated.pk}/edit/"
        body = {"version": 0, "reason": "x", "changes": {"context": {"name": "Berta", "code": "42"}}}
        assert program.post(base, body).json()["changed"] == ["subject", "text", "context"]
        entry = LedgerEntry.objects.order_by("-pk")[0]
        observer = client_of("observer")
        for address in (
            f"{LIST}{templated.pk}/change/",
            f"/admin/queues/ledgerentry/{entry.pk}/change/",
            LIST,
            "/admin/queues/ledgerentry/",
        ):
            page = observer.get(address).content.decode()
            assert SECRET not in page, address
            assert "your code" not in page, address
        looker = Program("view_emailmessage", "view_ledgerentry")
        for path in (f"email/items/{templated.pk}/", "email/items/", "ledger/"):
            assert SECRET not in looker.get(f"/api/v1/queues/{path}").content.decode()
        exported = looker.post("/api/v1/queues/email/export/", {"form": "csv", "reason": "x"})
        assert SECRET not in b"".join(exported.streaming_content).decode()

    @pytest.mark.parametrize("context", [{}, {"name": "x"}])
    def test_one_that_the_template_does_not_fit_is_refused(self, templated: EmailMessage, context: dict[str, str]):
        program = Program("view_emailmessage", "edit_emailmessage", "view_payload_emailmessage")
        body = {"version": 0, "reason": "x", "changes": {"context": context}}
        answer = problem(program.post(f"/api/v1/queues/email/items/{templated.pk}/edit/", body))
        assert list(answer["errors"]) == ["changes.context"]


class TestApi:
    @pytest.mark.parametrize("name", PROTECTED)
    def test_protected_fields_are_422(self, name: str):
        program = Program("view_emailmessage", "edit_emailmessage")
        body = {"version": 0, "reason": "x", "changes": {name: "other"}}
        response = program.post(f"/api/v1/queues/email/items/{mail().pk}/edit/", body)
        assert (problem(response)["code"], response.status_code) == ("protected", 422)
        assert problem(response)["errors"] == {f"changes.{name}": ["Protected."]}

    def test_a_dry_run_says_what_and_does_nothing(self):
        item, program = mail(), Program("view_emailmessage", "edit_emailmessage")
        body: dict[str, Any] = {"version": 0, "reason": "x", "changes": {"subject": "New"}, "dry_run": True}
        address = f"/api/v1/queues/email/items/{item.pk}/edit/"
        assert program.post(address, body).json() == {"changed": ["subject"], "ledger_entry": None}
        assert EmailMessage.objects.get().version == 0
        done = program.post(address, body | {"dry_run": False}).json()
        assert LedgerEntry.objects.get(pk=done["ledger_entry"]).act == "edit"
        assert problem(program.post(address, body | {"dry_run": False}))["code"] == "stale"

    @pytest.mark.parametrize("changes", [{"to": "a@example.com"}, {"to": [1]}, {"subject": 1}, {"context": {"a": 1}}])
    def test_wrong_types_are_invalid(self, changes: dict[str, Any]):
        program = Program("view_emailmessage", "edit_emailmessage", "view_payload_emailmessage")
        body = {"version": 0, "reason": "x", "changes": changes}
        response = program.post(f"/api/v1/queues/email/items/{mail().pk}/edit/", body)
        assert (problem(response)["code"], response.status_code) == ("invalid", 400)

    def test_of_a_webhook_nothing_may_be_edited(self):
        from tests.queues.desk.test_privacy import event

        program = Program("view_webhookevent", "edit_webhookevent")
        body = {"version": 0, "reason": "x", "changes": {"payload": "x"}}
        response = program.post(f"/api/v1/queues/webhook/items/{event().pk}/edit/", body)
        assert (problem(response)["code"], response.status_code) == ("protected", 422)


def test_from_the_shell(capsys: pytest.CaptureFixture[str]):
    item = mail(subject="Old")
    words = (
        "queues",
        "edit",
        "email",
        str(item.pk),
        "--set",
        "subject=New",
        "--set",
        "to=a@example.com, b@example.com",
    )
    call_command(*words, "--dry-run")
    assert "Would change" in capsys.readouterr().out
    assert EmailMessage.objects.get().version == 0
    call_command(*words, "--reason", "typo")
    found = EmailMessage.objects.get()
    assert (found.subject, found.recipients, found.status) == ("New", ["a@example.com", "b@example.com"], "pending")
    with pytest.raises(CommandError, match="protected"):
        call_command("queues", "edit", "email", str(item.pk), "--set", "message_id=x", "--reason", "x")


def test_the_original_goes_when_the_contents_go(operator: Client):
    item = mail(subject="Old")
    edit(operator, item, subject="New")
    EmailMessage.objects.update(status=Status.SUCCEEDED, succeeded_at=timezone.now())
    retention._empty([item.pk], now=timezone.now())
    assert not Revision.objects.exists()
    Revision.objects.create(queue="email", item_id=item.pk, made_at=timezone.now(), actor_name="x")
    EmailMessage.objects.update(idempotency_key="auto:1")
    transitions.bury(registry.get("email"), items=EmailMessage.objects.all(), now=timezone.now())
    assert not Revision.objects.exists()
