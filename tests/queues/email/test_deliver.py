"""Deliver, against a real SMTP server: what each answer means for the mail, its address, its neighbours."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from queues.email import emails, suppressions
from queues.email.mail import File
from queues.email.models import EmailMessage, Suppression
from queues.email.types import EmailType, register
from queues.engine import transitions
from queues.engine.attempts import Attempt
from queues.engine.breaker import Breaker
from queues.engine.limiter import RateCounter
from queues.engine.states import Status
from tests.queues.email.conftest import DrainAt
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db(transaction=True)


def mail(to: str = "anna@example.com", **more: Any) -> EmailMessage:
    return emails.enqueue(**{"to": [to], "subject": "Hello", "text": "Good morning.", **more})


def state(message: EmailMessage) -> EmailMessage:
    return EmailMessage.objects.get(pk=message.pk)


def outcomes(message: EmailMessage) -> list[tuple[int, str, str]]:
    found = Attempt.objects.filter(queue="email", item_id=message.pk).order_by("id")
    return list(found.values_list("number", "outcome", "code"))


def test_a_mail_arrives_and_the_history_says_how(sink: Sink, drain: DrainAt):
    message = mail("Anna <Anna@Example.com>")
    assert drain() == {"ack": 1}
    (received,) = sink.mails()
    assert (received.rcpt_to, received.message_id) == (("Anna@Example.com",), message.message_id)
    sent = state(message)
    assert (sent.status, sent.attempts, sent.provider) == (Status.SUCCEEDED, 1, f"smtp:{sink.host}:{sink.port}")
    assert sent.last_words.startswith("250 ")
    attempt = Attempt.objects.get(item_id=message.pk)
    assert (attempt.number, attempt.outcome, attempt.via, attempt.charged) == (1, "ack", sent.provider, True)
    assert attempt.worker
    assert attempt.started_at is not None


def test_451_is_retried_by_the_written_schedule_and_then_dead(sink: Sink, drain: DrainAt):
    sink.set_behaviour("451")
    message = mail()
    at = timezone.now() + timedelta(seconds=1)
    for retry, seconds in enumerate((1, 5, 30, 300, 1800), start=1):
        assert drain(at=at) == {"retry": 1}
        waiting = state(message)
        assert (waiting.status, waiting.attempts) == (Status.RETRYING, retry)
        assert waiting.due_at - at == pytest.approx(timedelta(seconds=seconds), abs=timedelta(seconds=0.9))
        assert drain(at=waiting.due_at - timedelta(seconds=0.3)) == {}, "not before its time"
        at = waiting.due_at + timedelta(milliseconds=1)
    assert drain(at=at) == {"dead_letter": 1}
    dead = state(message)
    assert (dead.status, dead.attempts, dead.last_code) == (Status.DEAD_LETTER, 6, "smtp 451 4.3.0")
    assert [outcome for _, outcome, _ in outcomes(message)] == ["retry"] * 5 + ["dead_letter"]
    assert sink.count() == 0
    assert not Suppression.objects.exists()


def test_a_bad_address_is_dead_at_once_and_suppressed(sink: Sink, drain: DrainAt):
    message = mail("rcpt550+gone@example.com")
    assert drain() == {"dead_letter": 1}
    assert (state(message).attempts, state(message).last_code) == (1, "smtp 550 5.1.1")
    suppressed = Suppression.objects.get()
    assert (suppressed.address, suppressed.cause, suppressed.scope) == (
        "rcpt550+gone@example.com",
        "hard_bounce",
        "all",
    )
    again = mail("RCPT550+gone@example.com", email_type="password_reset")
    assert drain() == {"cancel": 1}
    assert (state(again).status, state(again).last_code) == (Status.CANCELLED, "suppressed")
    suppressed.lift(by=None, now=timezone.now())
    transitions.replay(EmailMessage.objects.filter(pk=again.pk), now=timezone.now())
    assert drain() == {"ack": 1}, "lifted, it is tried again: RCPT550 is an address of its own for this server"


def test_a_refusal_by_policy_does_not_suppress_the_address(sink: Sink, drain: DrainAt):
    mail("550+anna@example.com")
    assert drain() == {"dead_letter": 1}
    assert not Suppression.objects.exists()


def test_one_unbuildable_mail_harms_only_itself(sink: Sink, drain: DrainAt):
    messages = emails.enqueue_many(
        [emails.Draft(to=[f"u{n}@example.com"], subject="Hello", text="x") for n in range(50)]
    )
    EmailMessage.objects.filter(pk=messages[20].pk).update(headers=[["X-A", "1\r\nBcc: x@example.com"], ["", ""]])
    assert drain() == {"ack": 49, "dead_letter": 1}
    assert state(messages[20]).last_code == "unbuildable"
    assert sink.count() == 49


def test_a_server_that_hangs_up_on_some_delays_only_those(sink: Sink, drain: DrainAt):
    bad = {0, 1, 2, 3, 4}
    emails.enqueue_many(
        [
            emails.Draft(to=[f"{'close-message+' if n in bad else ''}u{n}@example.com"], subject="Hello", text="x")
            for n in range(100)
        ]
    )
    counts = drain()
    assert counts["ack"] == 95
    others = EmailMessage.objects.exclude(recipient__startswith="close-message")
    assert set(others.values_list("status", "attempts")) == {(Status.SUCCEEDED.value, 1)}
    assert set(Attempt.objects.filter(item_id__in=others.values("pk")).values_list("outcome", flat=True)) == {"ack"}
    assert max(Counter(sink.copies()).values()) == 1


def test_a_lost_reply_is_uncertain_and_never_sent_twice_on_its_own(sink: Sink, drain: DrainAt):
    message = mail("reply-lost+anna@example.com")
    assert drain() == {"retry": 1}
    held = state(message)
    assert held.uncertain_at is not None
    assert held.waits_for == "uncertain"
    assert held.due_at - timezone.now() == pytest.approx(timedelta(minutes=15), abs=timedelta(seconds=5))
    assert drain(after=timedelta(minutes=14)) == {}
    assert drain(after=timedelta(minutes=16)) == {"dead_letter": 1}
    assert state(message).last_code == "uncertain"
    assert sink.copies() == {message.message_id: 1}
    transitions.redrive(EmailMessage.objects.all(), now=timezone.now())
    assert state(message).uncertain_at is None, "who redrives it decides that it is sent again"


def test_word_from_the_provider_settles_an_uncertain_mail(sink: Sink, drain: DrainAt):
    message = mail("reply-lost+anna@example.com")
    drain()
    assert transitions.confirm(EmailMessage, item_id=message.pk, now=timezone.now())
    assert state(message).status == Status.SUCCEEDED
    assert drain(after=timedelta(minutes=16)) == {}
    assert sink.copies() == {message.message_id: 1}


def test_a_type_may_ask_to_be_sent_again_when_uncertain(sink: Sink, drain: DrainAt):
    register(EmailType(name="sign_in_code", resend_uncertain=True))
    message = mail("reply-lost*1+anna@example.com", email_type="sign_in_code")
    drain()
    assert drain(after=timedelta(minutes=16)) == {"ack": 1}
    assert sink.copies() == {message.message_id: 2}, "the same Message-ID, so that a mailbox can tell"
    assert state(message).uncertain_at is None


def test_recipients_refused_for_now_get_the_mail_later_and_alone(sink: Sink, drain: DrainAt):
    message = emails.enqueue(
        to=["good@example.com", "rcpt451*1+busy@example.com"],
        cc=["rcpt550+gone@example.com"],
        subject="Hello",
        text="x",
        attachments=[File("a.txt", "text/plain", b"abc")],
    )
    assert drain() == {"ack": 1}
    sent = state(message)
    assert set(sent.refused or {}) == {"rcpt451*1+busy@example.com", "rcpt550+gone@example.com"}
    assert Suppression.objects.get().address == "rcpt550+gone@example.com"
    rest = EmailMessage.objects.exclude(pk=message.pk).get()
    assert (rest.recipients, rest.to, rest.message_id) == (
        ["rcpt451*1+busy@example.com"],
        message.to,
        message.message_id,
    )
    assert drain(after=timedelta(seconds=2)) == {"ack": 1}
    first, second = sink.mails()
    assert (first.rcpt_to, second.rcpt_to) == (("good@example.com",), ("rcpt451*1+busy@example.com",))
    assert first.content == second.content, "headers and files are the same for everyone"


def test_suppressed_recipients_are_left_out_and_the_others_get_it(sink: Sink, drain: DrainAt):
    suppressions.suppress(address="b@example.com", cause=Suppression.Cause.MANUAL, words="asked us by phone")
    message = mail("A@example.com", cc=["b@example.com"])
    assert drain() == {"ack": 1}
    assert [each.rcpt_to for each in sink.mails()] == [("A@example.com",)]
    assert state(message).status == Status.SUCCEEDED


def test_an_outage_burns_no_attempts_and_ends_with_one_probe(sink: Sink, drain: DrainAt, settings: Settings):
    settings.EMAIL_DELIVERY_URL = ["smtp://127.0.0.1:9?connect=1"]
    emails.enqueue_many([emails.Draft(to=[f"u{n}@example.com"], subject="Hello", text="x") for n in range(30)])
    drain()
    breaker = Breaker.objects.get()
    assert breaker.failures >= 5
    assert breaker.open_until is not None
    assert set(EmailMessage.objects.values_list("attempts", flat=True)) == {0}
    assert not EmailMessage.objects.filter(status=Status.DEAD_LETTER).exists()
    failures = breaker.failures
    drain(after=timedelta(seconds=20))
    assert Breaker.objects.get().failures == failures, "while it is open nothing is attempted"
    used = RateCounter.objects.get(key="email")
    assert sum(used.slots.values()) == 0, "grants that were not used are given back"
    Breaker.objects.update(open_until=timezone.now() - timedelta(seconds=1), name=f"smtp:{sink.host}:{sink.port}")
    settings.EMAIL_DELIVERY_URL = [sink.url]
    total = Counter[str]()
    for seconds in (61, 70, 80):
        total += drain(after=timedelta(seconds=seconds))
    assert total["ack"] == 30
    assert (Breaker.objects.get().failures, Breaker.objects.get().open_until) == (0, None)
    assert set(EmailMessage.objects.values_list("attempts", flat=True)) == {1}


def test_the_next_transport_takes_over_where_nothing_was_taken(sink: Sink, drain: DrainAt, settings: Settings):
    settings.EMAIL_DELIVERY_URL = ["smtp://127.0.0.1:9?connect=1", sink.url]
    message = mail()
    assert drain() == {"ack": 1}
    assert state(message).provider == f"smtp:{sink.host}:{sink.port}"


def test_an_uncertain_mail_is_not_given_to_the_next_transport(sink: Sink, drain: DrainAt, settings: Settings):
    with Sink() as second:
        settings.EMAIL_DELIVERY_URL = [sink.url, second.url]
        mail("reply-lost+anna@example.com")
        assert drain() == {"retry": 1}
        assert (sink.count(), second.count()) == (1, 0)


def test_the_limit_of_one_recipient_snoozes_without_an_attempt_and_holds_up_nobody(
    sink: Sink, drain: DrainAt, settings: Settings
):
    settings.RATE_LIMITS = {"email": (1000, 60), "email.recipient": (10, 60)}
    started = timezone.now()
    many = emails.enqueue_many([emails.Draft(to=["Anna@example.com"], subject="Hello", text="x") for _ in range(25)])
    other = mail("bob@example.com")
    counts = drain()
    assert (counts["ack"], counts["snooze"]) == (11, 15)
    assert state(other).status == Status.SUCCEEDED
    waiting = EmailMessage.objects.filter(waits_for="rate:email.recipient").order_by("due_at")
    assert [each.attempts for each in waiting] == [0] * 15
    first, last = waiting[0], waiting[14]
    assert timedelta(seconds=59) <= first.due_at - started <= timedelta(seconds=64)
    assert timedelta(seconds=119) <= last.due_at - started <= timedelta(seconds=126), (
        "each to the time of its own grant"
    )
    assert sum(state(each).status == Status.SUCCEEDED for each in many) == 10


def test_the_limit_of_the_whole_queue_stops_the_claims(sink: Sink, drain: DrainAt, settings: Settings):
    settings.RATE_LIMITS = {"email": (7, 60), "email.recipient": (10, 60)}
    emails.enqueue_many([emails.Draft(to=[f"u{n}@example.com"], subject="Hello", text="x") for n in range(200)])
    counts = drain()
    assert counts["ack"] == 7
    assert sink.count() == 7
    assert EmailMessage.objects.filter(runs=0, status=Status.PENDING).count() >= 150, "the rest was not even claimed"
    urgent = mail("boss@example.com", email_type="password_reset")
    drain(after=timedelta(seconds=1))
    assert state(urgent).attempts == 0


def test_an_expired_mail_is_cancelled_not_sent(sink: Sink, drain: DrainAt):
    message = mail(expires_at=timezone.now() + timedelta(minutes=1))
    assert drain(after=timedelta(minutes=2)) == {"expired": 1}
    assert (state(message).status, state(message).last_code) == (Status.CANCELLED, "expired")
    assert sink.count() == 0


def test_a_mail_whose_text_was_removed_is_never_sent_empty(sink: Sink, drain: DrainAt):
    message = mail()
    drain()
    EmailMessage.objects.update(bodies_removed_at=timezone.now(), text="")
    transitions.replay(EmailMessage.objects.all(), now=timezone.now())
    assert drain() == {"dead_letter": 1}
    assert (state(message).last_code, sink.count()) == ("content removed", 1)


def test_a_password_reset_overtakes_a_newsletter(sink: Sink, drain: DrainAt):
    emails.enqueue_many(
        [emails.Draft(to=[f"u{n}@example.com"], subject="News", text="x", email_type="newsletter") for n in range(120)]
    )
    mail("boss@example.com", email_type="password_reset")
    drain()
    position = [each.rcpt_to[0] for each in sink.mails()].index("boss@example.com")
    assert position < 12, "among the first that the ten hands took"


def test_bulk_mail_carries_one_click_unsubscription(sink: Sink, drain: DrainAt):
    mail(email_type="newsletter")
    drain()
    parsed = sink.mails()[0].parsed
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "/unsubscribe/" in parsed["List-Unsubscribe"]


@pytest.mark.slow
def test_ten_thousand_generated_mails_go_in_and_come_out(sink: Sink, drain: DrainAt):
    wanted = {}
    for start in range(0, 10_000, 500):
        drafts = [
            emails.Draft(
                to=[f"u{n}@example.com"],
                subject=f"№ {n} — {'ß' * (n % 90)}",
                text=f"line {n}\n.\n..dot\n{'long ' * (n % 300)}",
                html=f"<p>{n} &amp; {'x' * (n % 1500)}</p>" if n % 3 else "",
            )
            for n in range(start, start + 500)
        ]
        for draft, message in zip(drafts, emails.enqueue_many(drafts), strict=True):
            wanted[message.message_id] = draft
    assert drain() == {"ack": 10_000}
    received = {each.message_id: each for each in sink.mails()}
    assert len(sink.mails()) == len(received) == 10_000
    for message_id, draft in list(wanted.items())[::50]:
        parsed = received[message_id].parsed
        body = parsed.get_body(("plain",))
        assert body is not None
        assert parsed["subject"] == draft.subject
        assert body.get_content().replace("\r\n", "\n").rstrip("\n") == draft.text.rstrip("\n")
