"""What recipients and providers say about a mail decides about the next: through the queue, on a real SMTP server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from queues.email import emails
from queues.email.models import EmailMessage
from queues.engine.states import Status
from tests.queues.email.conftest import DrainAt
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db(transaction=True)

AUTH = {"Authorization": "Basic dGVzdHM6cGFzc3dvcmQ="}  # tests:password


def send(kind: str, **changes: Any) -> EmailMessage:
    return emails.enqueue(to=["anna@example.com"], subject="Hello", text="Hello", email_type=kind, **changes)


def test_one_click_in_a_newsletter_stops_newsletters_and_nothing_else(sink: Sink, drain: DrainAt):
    send("newsletter")
    drain()
    (received,) = sink.mails()
    assert received.parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = re.fullmatch(r"<http://localhost:8000(/unsubscribe/.+/)>", received.parsed["List-Unsubscribe"])
    assert link
    assert Client(enforce_csrf_checks=True).post(link[1], {"List-Unsubscribe": "One-Click"}).status_code == 200
    newsletter, receipt = send("newsletter"), send("receipt")
    drain()
    newsletter.refresh_from_db()
    receipt.refresh_from_db()
    assert (newsletter.status, newsletter.last_words) == (Status.CANCELLED, "Suppressed: unsubscribed.")
    assert receipt.status == Status.SUCCEEDED
    assert "List-Unsubscribe" not in sink.mails()[-1].parsed


def test_a_report_by_message_id_alone_finds_its_mail(sink: Sink, drain: DrainAt):
    """As a relay reports that knows nothing of us but the mail itself."""
    message = send("receipt")
    drain()
    complaint = {
        "RecordType": "SpamComplaint",
        "Type": "SpamComplaint",
        "MessageID": message.message_id.strip("<>"),
        "Email": "anna@example.com",
    }
    client = Client(headers=AUTH)
    response = client.post("/webhooks/email/postmark/", complaint, content_type="application/json")
    assert response.status_code == 200
    message.refresh_from_db()
    assert message.tracked == "complained"
    receipt, reset = send("receipt"), send("password_reset")
    drain()
    receipt.refresh_from_db()
    reset.refresh_from_db()
    assert (receipt.status, receipt.last_words) == (Status.CANCELLED, "Suppressed: complaint.")
    assert reset.status == Status.SUCCEEDED, "a password reset was asked for"
