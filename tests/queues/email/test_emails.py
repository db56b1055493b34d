"""emails.enqueue: what is stored, once a key, inside the caller's transaction; and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries, Settings

from queues.email import emails, rendering
from queues.email.mail import File
from queues.email.models import Attachment, AttachmentUse, EmailMessage
from queues.engine import registry, transitions, wake
from queues.engine.states import Priority, Status

pytestmark = pytest.mark.django_db

MAIL: dict[str, Any] = {"to": ["Anna <Anna@Example.com>"], "subject": "Hello", "text": "Good morning."}


def test_a_mail_is_stored_as_it_was_wished():
    send_at = datetime(2030, 1, 1, tzinfo=UTC)
    made = emails.enqueue(
        **MAIL,
        cc=["b@example.com"],
        bcc=["c@example.com"],
        reply_to=["d@example.com"],
        headers=[("X-Order", "7")],
        html="<p>Good morning.</p>",
        email_type="receipt",
        metadata={"order": 7},
        tags=["shop"],
        send_at=send_at,
        expires_at=send_at + timedelta(hours=1),
        max_retries=2,
    )
    stored = EmailMessage.objects.get(pk=made.pk)
    assert stored.recipients == ["anna@example.com", "b@example.com", "c@example.com"]
    assert (stored.recipient, stored.kind, stored.due_at, stored.max_retries) == (
        "anna@example.com",
        "receipt",
        send_at,
        2,
    )
    assert (stored.metadata, stored.tags, stored.headers) == ({"order": 7}, ["shop"], [["X-Order", "7"]])
    assert stored.status == Status.PENDING
    assert stored.message_id.endswith("@example.com>")
    same = {
        field.attname
        for field in EmailMessage._meta.concrete_fields
        if getattr(made, field.attname) == getattr(stored, field.attname)
    }
    assert same == {field.attname for field in EmailMessage._meta.concrete_fields}, "the instance given back is the row"


@pytest.mark.django_db(transaction=True)
def test_it_lives_and_dies_with_the_callers_transaction():
    wake._hinted.clear()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        emails.enqueue(**MAIL)
        raise ZeroDivisionError
    assert (EmailMessage.objects.count(), OrmQ.objects.count()) == (0, 0)
    with transaction.atomic():
        emails.enqueue(**MAIL)
        assert OrmQ.objects.count() == 0, "no hint before the commit"
    assert (EmailMessage.objects.count(), OrmQ.objects.count()) == (1, 1)


def test_one_mail_costs_one_statement(django_assert_num_queries: DjangoAssertNumQueries):
    emails.enqueue(**MAIL)
    with django_assert_num_queries(1):
        emails.enqueue(**MAIL, idempotency_key="order-7")
    with django_assert_num_queries(1):
        emails.enqueue_many([emails.Draft(**MAIL) for _ in range(50)])


def test_a_repeated_key_gives_the_first_row():
    first = emails.enqueue(**MAIL, idempotency_key="order-7")
    again = emails.enqueue(**MAIL, idempotency_key="order-7")
    assert (first.repeated, again.repeated, again.pk) == (False, True, first.pk)
    assert EmailMessage.objects.count() == 1


def test_the_same_key_for_another_mail_is_an_error_and_changes_nothing():
    first = emails.enqueue(**MAIL, idempotency_key="order-7")
    with pytest.raises(emails.KeyConflict, match="order-7"):
        emails.enqueue(**{**MAIL, "text": "Other."}, idempotency_key="order-7")
    assert EmailMessage.objects.get().text == first.text


def test_one_call_with_a_conflict_stores_none_of_its_mails():
    emails.enqueue(**MAIL, idempotency_key="order-7")
    drafts = [emails.Draft(**MAIL), emails.Draft(**{**MAIL, "text": "Other."}, idempotency_key="order-7")]
    with pytest.raises(emails.KeyConflict):
        emails.enqueue_many(drafts)
    assert EmailMessage.objects.count() == 1


def test_a_key_is_answered_for_ever_even_when_the_row_is_gone():
    first = emails.enqueue(**MAIL, idempotency_key="order-7")
    EmailMessage.objects.update(status=Status.SUCCEEDED)
    now = timezone.now()
    queue = registry.get("email")
    assert transitions.bury(queue, items=EmailMessage.objects.all(), now=now) == 0, "the tombstone comes first"
    assert transitions.bury(queue, items=EmailMessage.objects.all(), now=now + timedelta(minutes=2)) == 1
    again = emails.enqueue(**MAIL, idempotency_key="order-7")
    assert (again.pk, again.repeated, again.status) == (first.pk, True, Status.SUCCEEDED)
    assert EmailMessage.objects.count() == 0
    with pytest.raises(emails.KeyConflict):
        emails.enqueue(**{**MAIL, "subject": "Other"}, idempotency_key="order-7")


@pytest.mark.django_db(transaction=True)
def test_sixteen_callers_with_one_key_make_one_mail():
    ready = threading.Barrier(16)
    found: list[tuple[int, bool]] = []

    def call() -> None:
        try:
            ready.wait()
            made = emails.enqueue(**MAIL, idempotency_key="order-7")
            found.append((made.pk, made.repeated))
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 16
    assert len({pk for pk, _ in found}) == 1
    assert sorted(repeated for _, repeated in found) == [False] + [True] * 15


def test_a_file_is_stored_once_however_many_mails_carry_it():
    pdf = File("terms.pdf", "", b"%PDF" + b"x" * 10_000)
    emails.enqueue_many([emails.Draft(**MAIL, attachments=[pdf, File("b.txt", "text/plain", b"b")]) for _ in range(20)])
    assert Attachment.objects.aggregate(bytes=Sum("size"))["bytes"] == 10_005
    assert AttachmentUse.objects.count() == 40
    assert AttachmentUse.objects.filter(name="terms.pdf", content_type="application/pdf").count() == 20


def test_the_type_decides_priority_and_expiry():
    reset = emails.enqueue(**MAIL, email_type="password_reset")
    news = emails.enqueue(**MAIL, email_type="newsletter")
    assert (reset.priority, news.priority) == (Priority.URGENT, Priority.LOW)
    assert reset.expires_at is not None
    assert news.expires_at is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"to": []}, "to"),
        ({"to": ["nobody"]}, "to"),
        ({"to": ["a@example.com, b@example.com"]}, "to"),
        ({"to": ["a@example.com\nBcc: x@example.com"]}, "to"),
        ({"to": ["a" * 300 + "@example.com"]}, "to"),
        ({"cc": ["@"]}, "cc"),
        ({"from_email": "no address"}, "from_email"),
        ({"subject": "a\r\nBcc: x@example.com"}, "subject"),
        ({"subject": "x" * 2000}, "subject"),
        ({"headers": [("Bcc", "x@example.com")]}, "headers"),
        ({"headers": [("X-A", "1\n2")]}, "headers"),
        ({"headers": [("X A", "1")]}, "headers"),
        ({"attachments": [File("a\n.txt", "text/plain", b"")]}, "attachments"),
        ({"attachments": [File("a", "text/plain\r\nX: y", b"")]}, "attachments"),
        ({"attachments": [File("a", "text/plain", b"x" * (emails.ATTACHMENTS_MAX_BYTES + 1))]}, "attachments"),
        ({"text": "x" * (emails.BODY_MAX_CHARACTERS + 1)}, "text"),
        ({"idempotency_key": "x" * 256}, "idempotency_key"),
        ({"idempotency_key": "auto:1"}, "idempotency_key"),
        ({"email_type": "x" * 101}, "email_type"),
        ({"priority": 9}, "priority"),
        ({"max_retries": -1}, "max_retries"),
        ({"send_at": datetime(2030, 1, 1)}, "send_at"),  # noqa: DTZ001
        ({"metadata": {"a": "\x00"}}, "metadata"),
        ({"metadata": {"a": "\ud800"}}, "metadata"),
        ({"template": "no/such", "text": ""}, "template"),
        ({"template": "../../etc/passwd", "text": ""}, "template"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once_with_the_field(wrong: dict[str, Any], field: str):
    mail = {**MAIL, **wrong}
    if "template" in wrong:
        mail |= {"subject": "", "text": ""}
    with pytest.raises(emails.Invalid) as refused:
        emails.enqueue(**mail)
    assert refused.value.field == field
    assert EmailMessage.objects.count() == 0


@pytest.mark.parametrize(
    "text",
    [
        "NUL \x00 inside",
        "half \ud83d of a pair",
        "pair \ud83d\ude00",
        "null",
        "1e5",
        "%s %(a)s",
        'it\'s "quoted" \\ \\u0000',
    ],
)
def test_hostile_text_is_stored_as_text(text: str):
    made = emails.enqueue(**{**MAIL, "text": text, "subject": text.replace("\x00", "")})
    stored = EmailMessage.objects.get(pk=made.pk)
    expected = (
        text.encode("utf-16-le", "surrogatepass")
        .decode("utf-16-le", "replace")
        .replace("\x00", "\N{REPLACEMENT CHARACTER}")
    )
    assert stored.text == expected


@pytest.fixture
def templates(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    folder = tmp_path / "email"
    folder.mkdir()
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    rendering._engine.cache_clear()
    yield folder
    rendering._engine.cache_clear()


def test_a_template_gives_subject_text_and_html(templates: Path):
    (templates / "hello.subject.txt").write_text("Hello\n {{ name }}")
    (templates / "hello.html").write_text(
        "<h1>Hello {{ name }}</h1><p>See <a href='https://example.com/x'>this</a>.</p>"
    )
    made = emails.enqueue(to=["a@example.com"], template="hello", context={"name": "A & B"})
    assert made.subject == "Hello A & B"
    assert made.html.startswith("<h1>Hello A &amp; B</h1>")
    assert made.text == "Hello A & B\n\nSee this (https://example.com/x).\n"


def test_a_variable_that_is_missing_is_refused_and_named(templates: Path):
    (templates / "hello.subject.txt").write_text("Hello {{ name }}")
    (templates / "hello.txt").write_text("{% if polite %}Dear{% endif %} {{ order.number }}")
    with pytest.raises(emails.Invalid, match=r"order\.number"):
        emails.enqueue(to=["a@example.com"], template="hello", context={"name": "A", "order": {}})
    assert EmailMessage.objects.count() == 0
