"""Django's own mail API goes through the queue, with all it can carry."""

from __future__ import annotations

from email.message import MIMEPart
from typing import Any

import pytest
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.core.mail import EmailMessage as DjangoMessage
from django.core.mail import EmailMultiAlternatives, mail_admins, send_mail, send_mass_mail
from django.db import transaction
from pytest_django import Settings

from queues.email import emails
from queues.email.models import EmailMessage
from tests.queues.email.conftest import DrainAt
from tests.smtp_sink import Sink

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("queue_mailer")]


def test_send_mail_stores_a_row_in_the_callers_transaction():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        send_mail("Hello", "text", None, ["a@example.com"])
        raise ZeroDivisionError
    assert not EmailMessage.objects.exists()
    assert send_mail("Hello", "text", None, ["a@example.com"], html_message="<p>html</p>") == 1
    stored = EmailMessage.objects.get()
    assert (stored.subject, stored.text, stored.html) == ("Hello", "text", "<p>html</p>")


def test_mass_mail_and_mail_to_admins_go_the_same_way(settings: Settings):
    settings.ADMINS = ["admin@example.com"]
    send_mass_mail([("One", "1", None, ["a@example.com"]), ("Two", "2", None, ["b@example.com"])])
    mail_admins("Three", "3")
    assert EmailMessage.objects.count() == 3


def test_headers_and_attributes_speak_to_the_queue():
    message = DjangoMessage("Hi", "text", to=["a@example.com"], headers={"X-Email-Type": "receipt", "X-Shop": "7"})
    message.idempotency_key = "order-7"  # type: ignore[attr-defined]
    message.metadata = {"order": 7}  # type: ignore[attr-defined]
    message.tags = ["shop"]  # type: ignore[attr-defined]
    message.send()
    message.send()
    stored = EmailMessage.objects.get()
    assert (stored.kind, stored.idempotency_key, stored.metadata, stored.tags) == (
        "receipt",
        "order-7",
        {"order": 7},
        ["shop"],
    )
    assert stored.headers == [["X-Shop", "7"]]


def test_a_mail_without_recipients_is_not_stored():
    assert DjangoMessage("Hi", "text").send() == 0
    assert not EmailMessage.objects.exists()


def test_a_mail_that_could_never_be_sent_is_refused_to_the_caller():
    with pytest.raises(emails.Invalid, match="to"):
        send_mail("Hello", "text", None, ["nobody at all"])


def test_a_password_reset_is_urgent_mail(rf: Any):
    User.objects.create_user("anna", "anna@example.com", "correct horse")
    form = PasswordResetForm({"email": "anna@example.com"})
    assert form.is_valid()
    form.save(domain_override="example.com")
    assert EmailMessage.objects.get().recipient == "anna@example.com"


@pytest.mark.django_db(transaction=True)
def test_everything_a_message_can_carry_arrives(sink: Sink, drain: DrainAt):
    message = EmailMultiAlternatives(
        "Grüße 🎟",
        "text",
        "Shop <shop@example.com>",
        ["Anna Ä <a@example.com>"],
        cc=["c@example.com"],
        bcc=["b@example.com"],
        reply_to=["help@example.com"],
    )
    message.attach_alternative("<img src='cid:logo'>", "text/html")
    message.attach_alternative("BEGIN:VCALENDAR", "text/calendar")
    message.attach("ä.pdf", b"%PDF\x00\xff", "application/pdf")
    message.attach("note.txt", "Ünïcode", "text/plain")
    logo = MIMEPart()
    logo.set_content(b"\x89PNG", maintype="image", subtype="png", disposition="inline", cid="<logo>", filename="l.png")
    message.attach(logo)
    message.attach("forwarded.eml", DjangoMessage("Inner", "inside", to=["x@example.com"]))
    message.send()
    assert drain() == {"ack": 1}
    (received,) = sink.mails()
    parsed = received.parsed
    assert received.rcpt_to == ("a@example.com", "c@example.com", "b@example.com")
    assert (parsed["subject"], parsed["reply-to"], parsed["bcc"]) == ("Grüße 🎟", "help@example.com", None)
    assert str(parsed["to"]) == "Anna Ä <a@example.com>"
    files = {part.get_filename(): part.get_payload(decode=True) for part in parsed.walk() if part.get_filename()}
    assert files["ä.pdf"] == b"%PDF\x00\xff"
    assert files["note.txt"].decode() == "Ünïcode"
    assert files["l.png"] == b"\x89PNG"
    assert any(part.get("content-id") == "<logo>" for part in parsed.walk())
    assert "text/calendar" in {part.get_content_type() for part in parsed.walk()}
