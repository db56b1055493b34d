"""E-mail to dead letter and back: send_mail ▶ pending ▶ drain ▶ schedule ▶ dead letter ▶ redrive ▶ sent ▶ delivered."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from datetime import timedelta

import pytest
from django.core.mail import send_mail
from django.db import transaction
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from queues.desk.ledger import LedgerEntry
from queues.email.models import EmailMessage
from queues.engine import registry, wake
from queues.engine.attempts import Attempt
from queues.engine.drain import Drain
from queues.engine.states import Status
from tests.queues.desk.people import client_of
from tests.smtp_sink import Sink


def drained(*, after: timedelta = timedelta()) -> Counter[str]:
    return Drain(registry.get("email"), clock=lambda: timezone.now() + after).run()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("queue_mailer")
def test_a_mail_survives_a_failing_server_and_is_redriven(sink: Sink):
    # The caller's transaction: nothing leaves before it commits, then one wake-up does.
    wake._hinted.clear()
    with transaction.atomic():
        send_mail("Your tickets", "Thank you.", None, ["Anna <anna@example.com>"], html_message="<p>Thank you.</p>")
        assert OrmQ.objects.count() == 0
    message = EmailMessage.objects.get()
    assert message.status == Status.PENDING
    (task,) = [each.task for each in OrmQ.objects.all()]
    assert (task["func"], task["args"]) == ("queues.tasks.drain", ("email",))

    # The server refuses for now: retried after 1 s, 5 s, 30 s, 5 m, 30 m, then dead.
    sink.set_behaviour("451")
    later = timedelta()
    for delay in (0, 1, 5, 30, 300, 1800):
        later += timedelta(seconds=delay + 1)
        assert sum(drained(after=later).values()) == 1
    message.refresh_from_db()
    assert (message.status, message.attempts, message.last_code) == (Status.DEAD_LETTER, 6, "smtp 451 4.3.0")

    # Staff see why, and what the act will touch, give a reason, and redrive.
    staff = client_of("operator")
    page = staff.get(f"/admin/queues/emailmessage/{message.pk}/change/").content.decode()
    assert "451 4.3.0 try again later" in page
    preview = staff.get("/admin/queues/emailmessage/act/redrive/", {"id": message.pk})
    plan = re.search(r'name="plan" value="([^"]+)"', preview.content.decode())
    assert plan is not None, "a preview first"
    message.refresh_from_db()
    assert message.status == Status.DEAD_LETTER, "a preview changes nothing"
    for _ in range(2):  # the second submission of the same plan is harmless
        staff.post("/admin/queues/emailmessage/act/redrive/", {"plan": plan.group(1), "reason": "server repaired"})
    assert LedgerEntry.objects.filter(act="redrive").count() == 1

    # The server is well again: sent once, with the Message-ID it had from the start.
    sink.set_behaviour("ok")
    assert drained() == {"ack": 1}
    assert sink.copies() == {message.message_id: 1}
    outcomes = (
        Attempt.objects.filter(queue="email", item_id=message.pk).order_by("number").values_list("outcome", flat=True)
    )
    assert list(outcomes) == ["retry"] * 5 + ["dead_letter", "ack"]

    # The provider reports it delivered; it may do so twice.
    event = {
        "RecordType": "Delivery",
        "MessageID": "pm-1",
        "Recipient": "anna@example.com",
        "DeliveredAt": timezone.now().isoformat(),
        "Metadata": {"redrive_id": message.message_id},
    }
    secret = base64.b64encode(b"tests:password").decode()
    for _ in range(2):
        answer = Client(headers={"Authorization": f"Basic {secret}"}).post(
            "/webhooks/email/postmark/", json.dumps(event), content_type="application/json"
        )
        assert answer.status_code == 200
    message.refresh_from_db()
    assert (message.status, message.tracked) == (Status.SUCCEEDED, "delivered")
