"""Tracking: what providers report, stored once in any order, and what follows for the mail and its recipients."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from queues.email import emails, suppressions, tracking
from queues.email.models import EmailMessage, Suppression, TrackingEvent
from queues.engine.states import Status

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::anymail.exceptions.AnymailNotSupportedWarning"),  # SendGrid
]

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
MAIL: dict[str, Any] = {"to": ["anna@example.com"], "subject": "Hello", "text": "Hello"}
AUTH = {"Authorization": "Basic dGVzdHM6cGFzc3dvcmQ="}  # tests:password


@pytest.fixture
def message() -> EmailMessage:
    made = emails.enqueue(**MAIL)
    made.provider, made.provider_id = "postmark", "pm-1"
    made.save()
    return made


def event(kind: str, *, at: datetime | None = NOW, **fields: Any) -> AnymailTrackingEvent:
    """An event of our message's provider."""
    known = {"message_id": "pm-1", "recipient": "Anna@example.com", "esp_event": {}}
    return AnymailTrackingEvent(event_type=kind, timestamp=at, **(known | fields))


def record(*events: AnymailTrackingEvent, provider: str = "Postmark", now: datetime = NOW) -> int:
    return tracking.record(events=events, provider=provider, now=now)


def test_events_set_the_times_of_the_mail(message: EmailMessage):
    kinds = {
        EventType.DELIVERED: "delivered_at",
        EventType.OPENED: "opened_at",
        EventType.CLICKED: "clicked_at",
        EventType.BOUNCED: "bounced_at",
        EventType.COMPLAINED: "complained_at",
    }
    for number, kind in enumerate(kinds):
        record(event(kind, at=NOW - timedelta(minutes=number)))
    message.refresh_from_db()
    assert [getattr(message, column) for column in kinds.values()] == [NOW - timedelta(minutes=n) for n in range(5)]
    assert message.tracked == "complained"
    assert set(message.tracking.values_list("kind", flat=True)) == set(kinds)


def test_the_order_of_events_does_not_matter(message: EmailMessage):
    events = [
        event(EventType.DELIVERED, at=NOW - timedelta(hours=3)),
        event(EventType.OPENED, at=NOW - timedelta(hours=2)),
        event(EventType.OPENED, at=NOW - timedelta(hours=1)),
        event(EventType.COMPLAINED, at=NOW),
    ]
    outcomes = set()
    for order in itertools.permutations(events):
        TrackingEvent.objects.all().delete()
        Suppression.objects.all().delete()
        EmailMessage.objects.update(delivered_at=None, opened_at=None, complained_at=None)
        for each in order:
            record(each)
        state = EmailMessage.objects.values_list("delivered_at", "opened_at", "complained_at").get()
        outcomes.add((*state, TrackingEvent.objects.count(), Suppression.objects.get().cause))
    assert outcomes == {(NOW - timedelta(hours=3), NOW - timedelta(hours=2), NOW, 4, "complaint")}


def test_an_event_that_comes_again_changes_nothing(message: EmailMessage):
    for fields in ({"event_id": "e1"}, {"event_id": None}):
        same = event(EventType.OPENED, **fields)
        assert [record(same), record(same), record(same, same)] == [1, 0, 0]
    assert TrackingEvent.objects.count() == 2


def test_one_event_id_for_several_recipients_is_several_events(message: EmailMessage):
    """Amazon SNS numbers the notification, not the recipient."""
    events = [event(EventType.DELIVERED, event_id="sns-1", recipient=f"{name}@example.com") for name in ("a", "b")]
    assert record(*events) == 2


def test_a_lifted_suppression_stays_lifted_when_the_event_comes_again(message: EmailMessage):
    bounce = event(EventType.BOUNCED, esp_event={"Type": "HardBounce"}, event_id="b1")
    record(bounce)
    Suppression.objects.get().lift(by=None, now=NOW)
    record(bounce)
    assert suppressions.blocked(["anna@example.com"], now=NOW) == {}


def test_an_event_without_time_counts_from_now(message: EmailMessage):
    record(event(EventType.DELIVERED, at=None))
    message.refresh_from_db()
    assert message.delivered_at == NOW


def test_an_event_from_the_future_counts_from_now(message: EmailMessage):
    record(event(EventType.DELIVERED, at=NOW + timedelta(days=300)))
    message.refresh_from_db()
    assert message.delivered_at == NOW


def test_a_mail_is_found_by_its_message_id(message: EmailMessage):
    for number, reference in enumerate((message.message_id, message.message_id.strip("<>"))):
        record(event(EventType.OPENED, message_id=reference, event_id=str(number)))
    assert message.tracking.count() == 2


def test_a_mail_is_found_by_the_metadata_it_was_sent_with(message: EmailMessage):
    """Also before our own settlement has stored the provider's id, or when its answer was lost."""
    EmailMessage.objects.update(provider_id="")
    record(event(EventType.DELIVERED, metadata={"redrive_id": message.message_id}))
    message.refresh_from_db()
    assert message.delivered_at == NOW


def test_of_two_mails_with_one_message_id_the_one_that_has_the_recipient_is_meant(message: EmailMessage):
    rest = emails.enqueue(to=["bob@example.com"], subject="Hello", text="Hello", message_id=message.message_id)
    reference = message.message_id
    record(event(EventType.DELIVERED, recipient="bob@example.com", message_id=reference))
    record(event(EventType.OPENED, recipient="anna@example.com", message_id=reference))
    assert [each.tracking.get().kind for each in (rest, message)] == ["delivered", "opened"]


def test_an_event_that_came_before_the_settlement_is_adopted(message: EmailMessage):
    EmailMessage.objects.update(provider_id="")
    now = timezone.now()
    record(event(EventType.DELIVERED, at=now), now=now)
    assert TrackingEvent.objects.get().message is None
    assert tracking.adopt(now=now) == 0
    EmailMessage.objects.update(provider_id="pm-1")
    assert [tracking.adopt(now=now), tracking.adopt(now=now)] == [1, 0]
    message.refresh_from_db()
    assert message.delivered_at == now
    assert message.tracking.get().kind == "delivered"


def test_an_event_of_a_strangers_mail_is_kept_and_left_alone():
    assert record(event(EventType.DELIVERED, message_id="not-ours")) == 1
    later = timezone.now() + timedelta(hours=2)
    assert tracking.adopt(now=later) == 0
    assert TrackingEvent.objects.get().message is None


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        (EventType.QUEUED, Status.SUCCEEDED),
        (EventType.DELIVERED, Status.SUCCEEDED),
        (EventType.BOUNCED, Status.SUCCEEDED),
        (EventType.OPENED, Status.SUCCEEDED),
        (EventType.REJECTED, Status.RETRYING),
        (EventType.FAILED, Status.RETRYING),
        (EventType.UNKNOWN, Status.RETRYING),
    ],
)
def test_word_of_an_uncertain_mail_settles_it(message: EmailMessage, kind: str, becomes: Status):
    EmailMessage.objects.update(status=Status.RETRYING, uncertain_at=NOW, waits_for="uncertain")
    record(event(kind))
    message.refresh_from_db()
    assert message.status == becomes


@pytest.mark.parametrize(
    ("provider", "esp_event", "hard"),
    [
        ("Postmark", {"Type": "HardBounce"}, True),
        ("Postmark", {"Type": "SoftBounce"}, False),
        ("Mandrill", {"event": "hard_bounce"}, True),
        ("Mandrill", {"event": "soft_bounce"}, False),
        ("Amazon SES", {"bounce": {"bounceType": "Permanent"}}, True),
        ("Amazon SES", {"bounce": {"bounceType": "Transient"}}, False),
        ("SparkPost", {"msys": {"message_event": {"bounce_class": "10"}}}, True),
        ("SparkPost", {"msys": {"message_event": {"bounce_class": "22"}}}, False),
        ("Mailjet", {"hard_bounce": True}, True),
        ("Mailjet", {"hard_bounce": False}, False),
        ("Resend", {"data": {"bounce": {"type": "Permanent"}}}, True),
        ("Resend", {"data": {"bounce": {"type": "Transient"}}}, False),
        ("Resend", {"data": {"bounce": []}}, False),
        ("Resend", {"data": {"bounce": {"type": ["Permanent"]}}}, False),
        ("Postmark", None, False),
        ("SomethingNew", {"Type": "HardBounce"}, False),
    ],
)
def test_only_a_hard_bounce_suppresses(message: EmailMessage, provider: str, esp_event: Any, hard: bool):
    record(event(EventType.BOUNCED, esp_event=esp_event, reject_reason=RejectReason.BOUNCED), provider=provider)
    assert Suppression.objects.filter(cause="hard_bounce", address="anna@example.com", scope="all").exists() is hard


@pytest.mark.parametrize(
    ("said", "hard"),
    [
        ("smtp; 550 5.1.1 no such user", True),
        ("550-5.1.1 The email account does not exist", True),
        ("552 5.2.2 mailbox full", False),
        ("550 5.7.1 blocked by policy of 5.1.1.1", False),
        ("421 4.7.0 try later", False),
    ],
)
def test_the_servers_own_code_wins_over_the_providers_label(message: EmailMessage, said: str, hard: bool):
    label = {"Type": "SoftBounce" if hard else "HardBounce"}
    record(event(EventType.BOUNCED, esp_event=label, mta_response=said))
    assert Suppression.objects.exists() is hard


@pytest.mark.parametrize(
    ("kind", "reason", "email_type", "expected"),
    [
        (EventType.COMPLAINED, None, "", ("complaint", "all")),
        (EventType.UNSUBSCRIBED, None, "newsletter", ("unsubscribe", "newsletter")),
        (EventType.UNSUBSCRIBED, None, "receipt", ("unsubscribe", "bulk")),
        (EventType.REJECTED, RejectReason.SPAM, "", ("complaint", "all")),
        (EventType.REJECTED, RejectReason.UNSUBSCRIBED, "newsletter", ("unsubscribe", "newsletter")),
        (EventType.REJECTED, RejectReason.INVALID, "", ("hard_bounce", "all")),
        (EventType.REJECTED, RejectReason.BLOCKED, "", None),
        (EventType.BOUNCED, RejectReason.OTHER, "", None),
        (EventType.DEFERRED, None, "", None),
        (EventType.DELIVERED, None, "", None),
    ],
)
def test_what_suppresses_and_for_which_mail(
    message: EmailMessage, kind: str, reason: str | None, email_type: str, expected: tuple[str, str] | None
):
    EmailMessage.objects.update(kind=email_type)
    record(event(kind, reject_reason=reason))
    row = Suppression.objects.values_list("cause", "scope", "address", "message_id").first()
    assert row == (expected and (*expected, "anna@example.com", message.pk))


def test_a_bounce_of_a_mail_we_do_not_know_suppresses_its_recipient_all_the_same():
    record(event(EventType.BOUNCED, message_id="not-ours", esp_event={"Type": "HardBounce"}))
    assert Suppression.objects.get().address == "anna@example.com"


def test_without_a_recipient_the_only_one_is_meant(message: EmailMessage):
    record(event(EventType.COMPLAINED, recipient=None))
    assert Suppression.objects.get().address == "anna@example.com"


def test_without_a_recipient_of_several_nobody_is_meant(message: EmailMessage):
    EmailMessage.objects.update(recipients=["anna@example.com", "bob@example.com"])
    record(event(EventType.COMPLAINED, recipient="not an address"))
    assert not Suppression.objects.exists()
    assert TrackingEvent.objects.get().recipient == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"recipient": "x" * 5000},
        {"recipient": "a\x00b@example.com"},
        {"recipient": ["a@example.com"]},
        {"message_id": "\x00" * 300},
        {"message_id": 7},
        {"message_id": None, "recipient": None},
        {"metadata": None},
        {"metadata": ["x"]},
        {"metadata": {"redrive_id": {"a": 1}}},
        {"event_id": "\ud800"},
        {"mta_response": "\ud800\x00" + "x" * 9000},
        {"description": {"a": "b"}},
        {"click_url": "x" * 9000},
        {"reject_reason": "x" * 300},
        {"event_type": "x" * 300},
        {"event_type": None},
        {"timestamp": datetime(2027, 1, 1)},  # noqa: DTZ001
        {"timestamp": "yesterday"},
    ],
)
def test_whatever_a_provider_says_can_be_stored(message: EmailMessage, fields: dict[str, Any]):
    known = {"event_type": EventType.BOUNCED, "timestamp": NOW, "message_id": "pm-1", "recipient": "a@example.com"}
    assert record(AnymailTrackingEvent(esp_event={}, **(known | fields))) == 1
    assert TrackingEvent.objects.count() == 1


def test_a_large_batch_costs_few_queries_for_each_event(
    message: EmailMessage, django_assert_max_num_queries: DjangoAssertNumQueries
):
    events = [event(EventType.OPENED, event_id=str(n)) for n in range(100)]
    with django_assert_max_num_queries(210):
        assert record(*events) == 100


# --- The address providers post to -----------------------------------------------------------------------------------


def post(body: Any, *, provider: str = "postmark", headers: dict[str, str] | None = None) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = Client(enforce_csrf_checks=True, headers=AUTH if headers is None else headers)
    return client.post(f"/webhooks/email/{provider}/", data, content_type="application/json")


DELIVERY = {
    "RecordType": "Delivery",
    "MessageID": "pm-1",
    "Recipient": "anna@example.com",
    "DeliveredAt": "2027-03-01T12:00:00Z",
    "Metadata": {},
}


def test_a_providers_post_is_stored_once(message: EmailMessage):
    assert [post(DELIVERY).status_code for _ in range(2)] == [200, 200]
    message.refresh_from_db()
    assert message.tracked == "delivered"
    assert TrackingEvent.objects.count() == 1


def test_a_hard_bounce_through_the_door(message: EmailMessage):
    body = {
        "RecordType": "Bounce",
        "ID": 42,
        "Type": "HardBounce",
        "MessageID": "pm-1",
        "Email": "anna@example.com",
        "BouncedAt": "2027-03-01T12:00:00.1234567-05:00",
        "Details": "smtp;550 5.1.1 The email account that you tried to reach does not exist.",
    }
    assert post(body).status_code == 200
    row = Suppression.objects.get()
    assert (row.cause, row.message_id) == ("hard_bounce", message.pk)
    assert "5.1.1" in row.words


def test_a_batch_of_events_of_another_provider(message: EmailMessage):
    body = [
        {"event": kind, "sg_event_id": kind, "email": "anna@example.com", "smtp-id": "pm-1", "timestamp": 1803816000}
        for kind in ("delivered", "open")
    ]
    assert post(body, provider="sendgrid").status_code == 200
    assert sorted(message.tracking.values_list("kind", flat=True)) == ["delivered", "opened"]


def test_wrong_credentials_are_refused_and_missing_ones_asked_for():
    wrong = post(DELIVERY, headers={"Authorization": "Basic dGVzdHM6d3Jvbmc="})
    assert wrong.status_code == 400
    missing = post(DELIVERY, headers={})
    assert (missing.status_code, missing.headers["WWW-Authenticate"]) == (401, 'Basic realm="tracking"')
    assert not TrackingEvent.objects.exists()


def test_without_a_secret_the_door_is_closed_not_open(settings: Settings):
    settings.ANYMAIL_WEBHOOK_SECRET = ""
    settings.ANYMAIL = {}
    response = post(DELIVERY)
    assert response.status_code == 503
    assert not TrackingEvent.objects.exists()


def test_an_unknown_provider_is_not_found():
    assert post(DELIVERY, provider="nobody").status_code == 404


def test_a_provider_whose_key_is_missing_is_told_to_come_again():
    response = post({}, provider="mailgun")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "60")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"RecordType": ["x"]}',
     b'{"RecordType": "Delivery", "DeliveredAt": 7}', b'{"RecordType": "Delivery", "DeliveredAt": "2027-13-45T99:00Z"}',
     b'{"RecordType": "Delivery", "Metadata": 7}', b'{"RecordType": "Delivery", "Metadata": {"anymail_id": ["x"]}}',
     b'{"RecordType": "Bounce", "ID": "\\u0000\\ud800", "Email": "\\ud800"}'],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
@pytest.mark.parametrize("provider", ["postmark", "sendgrid", "brevo", "mailjet", "sparkpost", "resend", "amazon_ses"])
def test_hostile_bodies_never_fail_the_server(provider: str, body: bytes):
    assert post(body, provider=provider).status_code in {200, 400, 503}


def test_a_body_that_is_too_large_is_refused():
    assert post(b'{"x": "' + b"x" * 3_000_000 + b'"}').status_code == 400


def test_a_database_that_is_away_makes_the_provider_come_again():
    """The outage itself is the far edge."""
    with mock.patch.object(TrackingEvent.objects, "bulk_create", side_effect=OperationalError("gone")):
        assert post(DELIVERY).status_code == 503


def test_providers_may_test_the_address():
    assert Client().head("/webhooks/email/postmark/").status_code == 200
    assert Client().get("/webhooks/email/postmark/").status_code == 405
    assert Client().get("/webhooks/email/unisender_go/").status_code == 200
