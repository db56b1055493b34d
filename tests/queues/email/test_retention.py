"""Retention: bodies go after 30 days, rows after 90, keys never; in bounded batches, and never what still matters."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from queues.email import emails, retention
from queues.email.mail import File
from queues.email.models import Attachment, AttachmentUse, EmailMessage, TrackingEvent
from queues.engine.attempts import Attempt
from queues.engine.states import Status
from queues.engine.tombstones import Tombstone

pytestmark = pytest.mark.django_db

MAIL: dict[str, Any] = {"to": ["anna@example.com"], "subject": "Hello", "text": "Hello", "html": "<p>Hello</p>"}
DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def finished(*, ago: timedelta, status: Status = Status.SUCCEEDED, key: str = "", **fields: Any) -> EmailMessage:
    """A mail that reached its final state so long ago."""
    message = emails.enqueue(**MAIL, idempotency_key=key, attachments=fields.pop("attachments", ()))
    column = {Status.SUCCEEDED: "succeeded_at", Status.CANCELLED: "cancelled_at", Status.DEAD_LETTER: "dead_at"}[status]
    fields[column] = timezone.now() - ago
    EmailMessage.objects.filter(pk=message.pk).update(status=status, **fields)
    return message


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.CANCELLED])
def test_a_finished_body_goes_after_30_days(now: datetime, status: Status):
    young = finished(ago=29 * DAY, status=status)
    old = finished(ago=31 * DAY, status=status, attachments=[File("a", "text/plain", b"abc")])
    assert retention.remove_bodies(now=now) == 1
    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.text, old.html, old.context, old.bodies_removed_at) == ("", "", None, now)
    assert (old.subject, old.recipients, old.status) == ("Hello", ["anna@example.com"], status)
    assert not AttachmentUse.objects.exists()
    assert (young.text, young.bodies_removed_at) == ("Hello", None)
    assert retention.remove_bodies(now=now) == 0, "once is enough"


@pytest.mark.parametrize("status", [Status.PENDING, Status.RETRYING, Status.DEAD_LETTER])
def test_what_may_still_be_sent_keeps_its_body_however_old(now: datetime, status: Status):
    message = emails.enqueue(**MAIL)
    long_ago = now - 400 * DAY
    EmailMessage.objects.filter(pk=message.pk).update(status=status, created_at=long_ago, dead_at=long_ago)
    assert retention.remove_all(now=now) == {"bodies": 0, "rows": 0, "files": 0, "events": 0}
    message.refresh_from_db()
    assert message.text == "Hello"


def test_a_row_goes_after_90_days_and_its_key_stays(now: datetime):
    old = finished(ago=91 * DAY, key="order-17")
    finished(ago=89 * DAY, key="order-18")
    Attempt.objects.create(queue="email", item_id=old.pk, number=1, outcome="ack")
    TrackingEvent.objects.create(message=old, provider="x", event_key="1", kind="delivered", at=now)
    for later in (timedelta(), timedelta(hours=1)):  # the tombstone first, the row at the next time
        retention.remove_rows(now=now + later)
    assert list(EmailMessage.objects.values_list("idempotency_key", flat=True)) == ["order-18"]
    assert not Attempt.objects.exists()
    assert not TrackingEvent.objects.exists()
    assert (Tombstone.objects.get().key, Tombstone.objects.get().item_id) == ("order-17", old.pk)
    again = emails.enqueue(**MAIL, idempotency_key="order-17")
    assert (again.pk, again.status) == (old.pk, Status.SUCCEEDED)
    assert EmailMessage.objects.count() == 1


def test_what_staff_purged_goes_after_seven_days(now: datetime):
    gone = finished(ago=8 * DAY, status=Status.DEAD_LETTER, hidden_at=now - 7 * DAY)
    kept = finished(ago=8 * DAY, status=Status.DEAD_LETTER, hidden_at=now - 7 * DAY + timedelta(seconds=1))
    retention.remove_rows(now=now)
    assert list(EmailMessage.objects.values_list("pk", flat=True)) == [kept.pk] != [gone.pk]


def test_the_days_can_be_set(now: datetime, settings: Settings):
    settings.RETENTION_BODIES_DAYS, settings.RETENTION_ROWS_DAYS = 1, 2
    finished(ago=1.5 * DAY)
    finished(ago=2.5 * DAY)
    assert retention.remove_rows(now=now) == 1
    assert retention.remove_bodies(now=now) == 1


def test_a_file_goes_when_no_mail_carries_it(now: datetime):
    shared, alone = File("s", "text/plain", b"shared"), File("a", "text/plain", b"alone")
    finished(ago=31 * DAY, attachments=[shared, alone])
    emails.enqueue(**MAIL, attachments=[shared])
    Attachment.objects.update(created_at=now - 31 * DAY)
    retention.remove_bodies(now=now)
    assert retention.remove_unused_files(now=now) == 1
    assert [bytes(each.content) for each in Attachment.objects.all()] == [b"shared"]


def test_a_file_that_was_just_stored_stays(now: datetime):
    """Its mail may be about to be stored, in a transaction that is not visible yet."""
    Attachment.objects.create(sha256="a" * 64, content=b"x", size=1)
    assert retention.remove_unused_files(now=now) == 0


def test_events_nobody_owns_go_with_the_rows_of_their_time(now: datetime):
    for key, age in (("old", 91 * DAY), ("young", 89 * DAY)):
        event = TrackingEvent.objects.create(provider="x", event_key=key, kind="delivered", at=now)
        TrackingEvent.objects.filter(pk=event.pk).update(received_at=now - age)
    assert retention.remove_stray_events(now=now) == 1
    assert TrackingEvent.objects.get().event_key == "young"


def test_work_is_done_in_batches(now: datetime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(retention, "SCAN", 5)
    for _ in range(11):
        finished(ago=31 * DAY)
    for _ in range(4):
        emails.enqueue(**MAIL)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert retention.remove_bodies(now=now) == 11
    updates = [each["sql"] for each in queries if each["sql"].startswith("UPDATE")]
    assert len(updates) == 5, "windows of 5, 5, 5: batches of 3+2, 3+2, 1"
    assert EmailMessage.objects.filter(text="").count() == 11


def test_a_mail_that_was_replayed_meanwhile_is_left_alone(now: datetime):
    message = finished(ago=91 * DAY)
    EmailMessage.objects.filter(pk=message.pk).update(status=Status.PENDING)
    assert retention._empty([message.pk], now=now) == 0
    assert retention._bury([message.pk], now=now) == 0
    message.refresh_from_db()
    assert message.text == "Hello"
