"""POST and GET /api/v1/emails/: what is stored, what is answered, whose mail is whose."""

from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from queues.email import emails
from queues.email.models import AttachmentUse, EmailMessage, TrackingEvent
from queues.engine import registry, transitions
from queues.engine.attempts import Attempt
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db

URL = "/api/v1/emails/"
MAIL: dict[str, Any] = {"to": ["Anna <anna@example.com>"], "subject": "Thank you", "text": "Your order 17"}


@pytest.fixture
def program() -> Program:
    return Program("add_emailmessage")


def test_a_mail_is_stored_and_answered_with_202(program: Program):
    response = program.post(URL, MAIL)
    assert response.status_code == 202
    body = response.json()
    message = EmailMessage.objects.get(pk=body["id"])
    assert (body["status"], body["message_id"], body["idempotency_key"]) == ("pending", message.message_id, "")
    assert message.recipients == ["anna@example.com"]
    assert response.headers["Location"] == f"http://testserver{URL}{message.pk}/"
    assert "Idempotent-Replayed" not in response.headers


def test_every_field_arrives(program: Program):
    send_at = timezone.now() + timedelta(days=2)
    body = MAIL | {
        "cc": ["b@example.com"],
        "bcc": ["c@example.com"],
        "reply_to": ["d@example.com"],
        "from_email": "Shop <shop@example.com>",
        "html": '<p>Your order <b>17</b> <img src="cid:logo"></p>',
        "headers": {"X-Order": "17"},
        "attachments": [
            {"name": "a.pdf", "content": base64.b64encode(b"%PDF").decode()},
            {"name": "l.png", "content": "AAEC", "content_type": "image/png", "content_id": "logo"},
        ],
        "email_type": "receipt",
        "metadata": {"order": 17},
        "tags": ["shop"],
        "priority": "high",
        "send_at": send_at.isoformat(),
        "expires_at": (send_at + timedelta(hours=1)).isoformat(),
        "max_retries": 2,
    }
    response = program.post(URL, body, key="order-17")
    assert response.status_code == 202, response.content
    message = EmailMessage.objects.get()
    assert (message.cc, message.bcc, message.reply_to) == (["b@example.com"], ["c@example.com"], ["d@example.com"])
    assert (message.from_email, message.html) == ("Shop <shop@example.com>", body["html"])
    assert (message.headers, message.metadata, message.tags) == ([["X-Order", "17"]], {"order": 17}, ["shop"])
    assert (message.kind, message.priority, message.max_retries) == ("receipt", 1, 2)
    assert (message.due_at, message.expires_at) == (send_at, send_at + timedelta(hours=1))
    files = list(AttachmentUse.objects.select_related("attachment"))
    assert [(f.name, f.content_type, f.content_id, bytes(f.attachment.content)) for f in files] == [
        ("a.pdf", "application/pdf", "", b"%PDF"),
        ("l.png", "image/png", "logo", b"\x00\x01\x02"),
    ]


def test_a_repeated_key_gives_the_same_mail(program: Program):
    first = program.post(URL, MAIL, key="order-17")
    again = program.post(URL, MAIL, key="order-17")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["idempotency_key"] == "order-17"
    assert EmailMessage.objects.count() == 1


def test_a_repeated_key_with_other_content_is_refused(program: Program):
    program.post(URL, MAIL, key="order-17")
    response = program.post(URL, MAIL | {"text": "Another"}, key="order-17")
    assert (response.status_code, problem(response)["code"]) == (422, "idempotency_key_reused")
    assert EmailMessage.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_request_at_the_same_moment_makes_one_mail(program: Program):
    together, answers = threading.Barrier(4), []

    def post() -> None:
        try:
            together.wait(10)
            answers.append(program.post(URL, MAIL, key="order-17"))
        finally:
            connection.close()

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answer.status_code for answer in answers] == [202] * 4
    assert {answer.json()["id"] for answer in answers} == {EmailMessage.objects.get().pk}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1


def test_keys_of_different_users_do_not_meet(program: Program):
    first = program.post(URL, MAIL, key="order-17").json()["id"]
    other = Program("add_emailmessage").post(URL, MAIL | {"text": "Another"}, key="order-17").json()["id"]
    assert first != other


def test_a_buried_mail_still_answers_its_key(program: Program):
    first = program.post(URL, MAIL, key="order-17").json()
    now = timezone.now()
    transitions.discard(EmailMessage.objects.all(), reason="test", now=now)
    for at in (now, now + timedelta(minutes=2)):  # the tombstone first, then the row
        transitions.bury(registry.get("email"), items=EmailMessage.objects.all(), now=at)
    again = program.post(URL, MAIL, key="order-17")
    assert again.status_code == 202
    assert (again.json()["id"], again.json()["status"]) == (first["id"], "cancelled")
    assert not EmailMessage.objects.exists()


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "~own", "a" * 201])
def test_a_key_that_is_none_is_refused(program: Program, key: str):
    response = program.post(URL, MAIL, key=key)
    assert (response.status_code, problem(response)["code"]) == (400, "idempotency_key_invalid")
    assert not EmailMessage.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": []}, "to"),
        ({"to": "anna@example.com"}, "to"),
        ({"to": ["anna"]}, "to"),
        ({"to": ["a@example.com, b@example.com"]}, "to"),
        ({"to": [None]}, "to.0"),
        ({"to": [7]}, "to.0"),
        ({"to": [f"a{n}@example.com" for n in range(51)]}, "to"),
        ({"to": [f"a{n}@example.com" for n in range(30)], "cc": [f"b{n}@example.com" for n in range(21)]}, "to"),
        ({"cc": ["x@"]}, "cc"),
        ({"from_email": "nobody"}, "from_email"),
        ({"subject": "Hi\r\nBcc: eve@example.com"}, "subject"),
        ({"subject": 7}, "subject"),
        ({"subject": "x" * 1001}, "subject"),
        ({"text": "x" * 2_000_001}, "text"),
        ({"html": ["x"]}, "html"),
        ({"headers": {"X-A": "b\r\nBcc: eve@example.com"}}, "headers"),
        ({"headers": {"X-A\r\nBcc": "eve@example.com"}}, "headers"),
        ({"headers": {"Bcc": "eve@example.com"}}, "headers"),
        ({"headers": {"X-A": 1}}, "headers.X-A"),
        ({"headers": [["X-A", "b"]]}, "headers"),
        ({"headers": {f"X-{n}": "x" for n in range(51)}}, "headers"),
        ({"attachments": [{"name": "a"}]}, "attachments.0.content"),
        ({"attachments": [{"name": "a", "content": "not base64!"}]}, "attachments.0.content"),
        ({"attachments": [{"name": "a", "content": "AAEC", "path": "/etc/passwd"}]}, "attachments.0.path"),
        ({"attachments": [{"name": "a\r\nb", "content": "AAEC"}]}, "attachments"),
        ({"attachments": [{"name": "a", "content": "AAEC"}] * 101}, "attachments"),
        ({"attachments": ["a"]}, "attachments.0"),
        ({"template": "../../etc/passwd", "subject": "", "text": ""}, "template"),
        ({"template": "no/such", "subject": "", "text": ""}, "template"),
        ({"context": []}, "context"),
        ({"context": {"a": "x" * 200_001}}, "context"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"a": "x" * 10_001}}, "metadata"),
        ({"tags": ["x"] * 21}, "tags"),
        ({"tags": ["x" * 101]}, "tags.0"),
        ({"tags": ["x\r\nBcc: eve@example.com"]}, "tags.0"),
        ({"tags": [""]}, "tags.0"),
        ({"email_type": "news\nletter"}, "email_type"),
        ({"priority": "immediate"}, "priority"),
        ({"priority": 0}, "priority"),
        ({"send_at": "2027-01-01T00:00:00"}, "send_at"),
        ({"send_at": "0001-01-01T00:00:00+14:00"}, "send_at"),
        ({"send_at": 1}, "send_at"),
        ({"send_at": "2030-01-02T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": "3"}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"email_type": "x" * 101}, "email_type"),
        ({"sendat": "2027-01-01T00:00:00Z"}, "sendat"),
        ({"idempotency_key": "x"}, "idempotency_key"),
    ],
)
def test_a_wrong_field_is_named(program: Program, change: dict[str, Any], field: str):
    response = program.post(URL, MAIL | change)
    assert response.status_code == 400, response.content
    body = problem(response)
    assert body["code"] == "invalid"
    assert field in body["errors"], body["errors"]
    assert all(isinstance(words, str) and words for words in body["errors"][field])
    assert not EmailMessage.objects.exists()


def test_files_may_have_10_mb_together_and_no_more(program: Program):
    half = base64.b64encode(b"x" * (emails.ATTACHMENTS_MAX_BYTES // 2)).decode()
    files = [{"name": "a", "content": half}, {"name": "b", "content": half}]
    assert program.post(URL, MAIL | {"attachments": files}).status_code == 202
    response = program.post(URL, MAIL | {"attachments": [*files, {"name": "c", "content": "AAEC"}]})
    assert "attachments" in problem(response)["errors"]


def test_the_state_has_its_attempts_and_reports_in_order(program: Program):
    pk = program.post(URL, MAIL).json()["id"]
    at = datetime(2027, 1, 1, tzinfo=UTC)
    for number, outcome in ((1, "retry"), (2, "ack")):
        Attempt.objects.create(queue="email", item_id=pk, number=number, outcome=outcome, code="smtp 451")
    Attempt.objects.create(queue="webhook", item_id=pk, number=3, outcome="ack")
    for key, kind, when in (("b", "opened", at + timedelta(hours=1)), ("a", "delivered", at)):
        TrackingEvent.objects.create(message_id=pk, provider="Postmark", event_key=key, kind=kind, at=when)
    body = program.get(f"{URL}{pk}/").json()
    assert [(run["number"], run["outcome"], run["code"]) for run in body["attempts"]] == [
        (1, "retry", "smtp 451"),
        (2, "ack", "smtp 451"),
    ]
    assert [report["kind"] for report in body["tracking"]] == ["delivered", "opened"]


def test_a_program_sees_its_own_mails_only(program: Program):
    own = program.post(URL, MAIL, key="k").json()["id"]
    other = Program("add_emailmessage").post(URL, MAIL, key="k2").json()["id"]
    inside = emails.enqueue(**MAIL).pk
    assert program.get(f"{URL}{own}/").status_code == 200
    for pk in (other, inside, 10**17):
        response = program.get(f"{URL}{pk}/")
        assert (response.status_code, problem(response)["code"]) == (404, "not_found")


def test_who_may_view_sees_all(program: Program):
    ids = [program.post(URL, MAIL).json()["id"], emails.enqueue(**MAIL).pk]
    viewer = Program("view_emailmessage")
    assert [viewer.get(f"{URL}{pk}/").status_code for pk in ids] == [200, 200]


def test_a_users_number_that_begins_anothers_is_another(program: Program):
    made = program.post(URL, MAIL).json()["id"]
    EmailMessage.objects.filter(pk=made).update(idempotency_key=f"api:{program.user.pk}0:x")
    assert program.get(f"{URL}{made}/").status_code == 404


def test_a_mail_is_found_by_its_key(program: Program):
    made = program.post(URL, MAIL, key="order/17?a=b&c").json()["id"]
    found = program.get(URL, {"idempotency_key": "order/17?a=b&c"}).json()["results"]
    assert [(each["id"], each["idempotency_key"]) for each in found] == [(made, "order/17?a=b&c")]
    assert program.get(URL, {"idempotency_key": "order-18"}).json() == {"results": []}
    assert Program("add_emailmessage").get(URL, {"idempotency_key": "order/17?a=b&c"}).json() == {"results": []}


def test_who_may_view_finds_a_mail_that_was_not_posted_by_its_key():
    made = emails.enqueue(**MAIL, idempotency_key="invoice:9")
    viewer = Program("view_emailmessage")
    assert [each["id"] for each in viewer.get(URL, {"idempotency_key": "invoice:9"}).json()["results"]] == [made.pk]
    assert Program("add_emailmessage").get(URL, {"idempotency_key": "invoice:9"}).json() == {"results": []}


@pytest.mark.parametrize("query", [{}, {"idempotency_key": ""}, {"idempotency_key": "a\x00b"}])
def test_the_list_needs_a_key(program: Program, query: dict[str, str]):
    assert problem(program.get(URL, query))["errors"] == {"idempotency_key": ["Say which key."]}


def test_a_database_that_is_away_says_so(program: Program):
    """The far edge here is the database itself; an outage cannot be had inside the test's own transaction."""
    with mock.patch.object(emails, "enqueue", side_effect=OperationalError("server closed the connection")):
        response = program.post(URL, MAIL)
    assert (response.status_code, problem(response)["code"]) == (503, "unavailable")
    assert response.headers["Retry-After"] == "5"
