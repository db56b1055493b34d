"""The life of an alert: told once, repeated after an hour, silenced, acknowledged, over; through real servers."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django import Settings

from queues.monitor import alert_retention, alerts, channels, notice, outbox, post
from queues.monitor.models import Alert, AlertDelivery, Incident, Severity
from queues.monitor.rules import Finding, Rule
from tests.queues.monitor.receiver import Receiver
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = Rule(
    name="sample", title="Something is wrong", severity=Severity.PAGE, look=None, advice="Turn it off and on again."
)
WRONG = Finding(scope="email", words="It is <b>wrong</b> & odd.", values={"capability": "E-mail"}, path="/admin/x/")


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("queues.monitor.rules", fromlist=["_rules"])._rules, "sample", RULE)


def evaluate(findings: Iterable[Finding], *, at: datetime, rule: Rule = RULE) -> int:
    """One evaluation of one rule: steps and messages in a transaction, then the sending."""
    with transaction.atomic():
        outbox.write(alerts.apply(rule, list(findings), now=at), now=at)
    return outbox.deliver(now=at)


def told() -> list[str]:
    """The kinds of the messages so far."""
    return list(AlertDelivery.objects.order_by("pk").values_list("kind", flat=True))


def test_told_once_repeated_after_an_hour_and_over(sink: Sink):
    """An hour and a half of trouble is three messages: it began, it goes on, it is over after so long."""
    for minute in range(90):
        evaluate([WRONG], at=NOW + minute * MINUTE)
    for minute in range(90, 95):
        evaluate([], at=NOW + minute * MINUTE)
    subjects = [mail.parsed["Subject"] for mail in sink.mails()]
    assert subjects == [
        "[page] Firing: Something is wrong (email)",
        "[page] Still firing: Something is wrong (email)",
        "[page] Recovered: Something is wrong (email)",
    ]
    over = sink.mails()[2].parsed.get_content()
    assert "over after 90 min" in over
    alert = Alert.objects.get()
    assert (alert.state, alert.firing_at, alert.resolved_at) == ("resolved", NOW, NOW + 90 * MINUTE)


def test_a_message_has_the_words_the_link_and_the_runbook(sink: Sink, receiver: Receiver):
    """Mail as text; the webhook in Slack's format, in which nothing of the words can be a link or a mention."""
    evaluate([WRONG], at=NOW)
    mail = sink.mails()[0].parsed
    text = mail.get_content()
    alert = Alert.objects.get()
    assert mail["To"] == "ops@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    for words in (
        "It is <b>wrong</b> & odd.",
        "What to do: Turn it off and on again.",
        "Look at: http://localhost:8000/admin/x/",
        f"http://localhost:8000/admin/queues/alert/{alert.pk}/change/",
    ):
        assert words in text
    (request,) = receiver.requests
    assert request.path == "/services/T0/B0/s3cret"
    assert request.json["text"] == "[page] Firing: Something is wrong (email)"
    section = request.json["blocks"][1]["text"]["text"]
    assert "It is &lt;b&gt;wrong&lt;/b&gt; &amp; odd." in section
    assert "<http://localhost:8000/admin/x/|Look at it>" in section
    assert "Turn it off and on again." in section
    assert "s3cret" not in str(list(AlertDelivery.objects.values()))


def test_slacks_bounds_are_kept():
    """3,000 characters a section, 150 a header, 50 blocks, however much there is to say."""
    many = [Alert(rule="sample", scope=str(n), severity="page", words="<" * 5000, pending_at=NOW) for n in range(90)]
    said = channels.slack(notice.body(kind="firing", alerts=many, now=NOW))
    assert len(said["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in said["blocks"])
    assert "70 more" in said["blocks"][-1]["text"]["text"]


def test_what_changes_at_once_is_one_message(sink: Sink):
    """Two scopes, one mail; a scope that follows is a mail of its own, the two others are not told again."""
    other = replace(WRONG, scope="push")
    evaluate([WRONG, other], at=NOW)
    assert [mail.parsed["Subject"] for mail in sink.mails()] == ["[page] Firing: Something is wrong (email) and 1 more"]
    evaluate([WRONG, other, replace(WRONG, scope="webhook")], at=NOW + MINUTE)
    assert sink.count() == 2
    assert "(webhook)" in sink.mails()[1].parsed["Subject"]


def test_more_scopes_than_anybody_reads_are_one_alert(sink: Sink):
    """A thousand devices are one trouble."""
    evaluate([replace(WRONG, scope=f"s{n}") for n in range(1000)], at=NOW)
    assert Alert.objects.get().words.startswith("1000 of them at once")


def test_pending_until_it_has_held(sink: Sink):
    """What is gone within the time a rule must hold was nothing."""
    rule = replace(RULE, holds=3 * MINUTE)
    for minute in range(3):
        evaluate([WRONG], at=NOW + minute * MINUTE, rule=rule)
    assert (Alert.objects.get().state, sink.count()) == ("pending", 0)
    evaluate([], at=NOW + 3 * MINUTE, rule=rule)
    assert (Alert.objects.get().state, sink.count()) == ("resolved", 0)
    for minute in range(4, 8):
        evaluate([WRONG], at=NOW + minute * MINUTE, rule=rule)
    assert Alert.objects.latest("pk").firing_at == NOW + 7 * MINUTE
    assert sink.count() == 1


def test_what_comes_and_goes_is_not_told_again_within_the_hour(sink: Sink):
    """Flapping: one message at its beginning, one at its first end, then silence until the hour is over."""
    for minute in range(0, 60, 10):
        evaluate([WRONG], at=NOW + minute * MINUTE)
        evaluate([], at=NOW + (minute + 5) * MINUTE)
    assert told() == ["firing", "recovery"]
    assert Alert.objects.count() == 6
    evaluate([WRONG], at=NOW + 61 * MINUTE)
    assert told() == ["firing", "recovery", "firing"]


def test_a_gap_shorter_than_the_rules_patience_is_no_end(sink: Sink):
    """One evaluation without it is not recovery."""
    rule = replace(RULE, clears=2 * MINUTE)
    evaluate([WRONG], at=NOW, rule=rule)
    evaluate([], at=NOW + MINUTE, rule=rule)
    evaluate([WRONG], at=NOW + 2 * MINUTE, rule=rule)
    assert (Alert.objects.get().state, told()) == ("firing", ["firing"])


def test_acknowledged_is_not_repeated_but_its_end_is_told(sink: Sink):
    """Somebody looks after it."""
    user = User.objects.create_user("o")
    evaluate([WRONG], at=NOW)
    alert = Alert.objects.get()
    assert alerts.acknowledge(alert_id=alert.pk, user=user, now=NOW + MINUTE)
    assert not alerts.acknowledge(alert_id=alert.pk, user=user, now=NOW + MINUTE), "once"
    for hours in range(1, 5):
        evaluate([WRONG], at=NOW + timedelta(hours=hours))
    assert told() == ["firing"]
    evaluate([], at=NOW + timedelta(hours=5))
    assert told() == ["firing", "recovery"]


def test_silenced_is_evaluated_and_shown_but_not_told(sink: Sink):
    """By rule and scope, for a time; what still fires then is told then."""
    until = NOW + timedelta(hours=2)
    row = alerts.silence(rule="sample", scope="email", reason="we know", until=until, user=None, now=NOW)
    other = replace(WRONG, scope="push")
    evaluate([WRONG, other], at=NOW + MINUTE)
    silenced = Alert.objects.get(scope="email")
    assert (silenced.state, silenced.silence_reason, silenced.last_sent_at) == ("firing", "we know", None)
    assert [mail.parsed["Subject"] for mail in sink.mails()] == ["[page] Firing: Something is wrong (push)"]
    assert alerts.end_silence(silence_id=row.pk, now=NOW + 2 * MINUTE)
    assert not alerts.end_silence(silence_id=row.pk, now=NOW + 2 * MINUTE)
    evaluate([WRONG, other], at=NOW + 3 * MINUTE)
    assert "(email)" in sink.mails()[1].parsed["Subject"]
    alerts.silence(rule="", scope="", reason="all of it", until=NOW + timedelta(hours=9), user=None, now=NOW)
    evaluate([], at=NOW + 9 * MINUTE)
    assert sink.count() == 2, "nor is its end told, while silenced"


def test_a_page_of_a_capability_is_an_incident_until_the_last_of_its_alerts_is_over():
    """One open incident a capability, whatever the number of rules that see it."""
    evaluate([WRONG, replace(WRONG, scope="other")], at=NOW)
    incident = Incident.objects.get()
    assert (incident.capability, incident.started_at, incident.alerts.count()) == ("E-mail", NOW, 2)
    evaluate([WRONG], at=NOW + 9 * MINUTE)
    assert Incident.objects.get().ended_at is None
    evaluate([], at=NOW + 19 * MINUTE)
    assert Incident.objects.get().ended_at == NOW + 19 * MINUTE


def test_a_failed_mail_goes_through_the_webhook_and_is_tried_again(sink: Sink, receiver: Receiver):
    """A ticket goes by mail alone; when that fails it comes the other way at once, and says why."""
    sink.set_behaviour("451", times=2)
    ticket = replace(RULE, severity=Severity.TICKET)
    evaluate([WRONG], at=NOW, rule=ticket)
    first = AlertDelivery.objects.get(channel="mail")
    assert (first.tries, first.sent_at, first.next_try_at) == (1, None, NOW + MINUTE)
    assert "451" in first.last_words
    assert outbox.failing(since=NOW - MINUTE)["mail"] == first.last_words
    note = receiver.requests[0].json["blocks"][1]["text"]["text"]
    assert note.startswith("Sent this way because e-mail failed: smtp:127.0.0.1")
    for minute in (1, 3):
        outbox.deliver(now=NOW + minute * MINUTE)
    assert (sink.count(), len(receiver.requests)) == (1, 1), "each way once"
    assert outbox.failing(since=NOW - MINUTE) == {}


def test_a_failed_webhook_goes_by_mail_and_is_given_up_at_last(sink: Sink, receiver: Receiver, settings: Settings):
    """After five more tries in 48 minutes it is given up, and stands in the list with what the other side said."""
    settings.ALERT_EMAILS = []
    receiver.status, receiver.answer = 403, b"invalid_token <script>"
    evaluate([WRONG], at=NOW)
    settings.ALERT_EMAILS = ["late@example.com"]
    at = NOW
    while row := AlertDelivery.objects.filter(next_try_at__isnull=False).order_by("next_try_at").first():
        at = row.next_try_at or at
        outbox.deliver(now=at)
    row = AlertDelivery.objects.get()
    assert (row.tries, row.given_up_at, at - NOW) == (6, NOW + 48 * MINUTE, 48 * MINUTE)
    assert row.last_words == "127.0.0.1 answered 403 invalid_token <script>"
    settings.ALERT_EMAILS = ["ops@example.com"]
    receiver.status = 500
    evaluate([], at=NOW + 60 * MINUTE)
    outbox.deliver(now=NOW + 60 * MINUTE)
    assert sink.mails()[-1].parsed["Subject"].startswith("[page] Recovered")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/x", "private address"),
        ("http://[::1]:9/x", "private address"),
        ("http://localhost:9/x", "private address"),
        ("http://169.254.169.254/latest/meta-data/", "private address"),
        ("http://[::ffff:10.0.0.1]/x", "private address"),
        ("http://2130706433/x", "private address"),
        ("ftp://example.com/x", "not an http(s) URL"),
        ("http://exa mple.com/x", "not an http(s) URL"),
        ("http://example.com:99999/x", "not a URL"),
        ("https://no-such-host.invalid/s3cret", "its name has no address"),
    ],
)
def test_a_webhook_may_not_lead_into_the_house(url: str, words: str):
    """Private addresses, in whatever spelling, and what is no web address; the secret path is never told."""
    with pytest.raises(post.Failed) as failure:
        post.json(url, {})
    assert words in str(failure.value)
    assert "s3cret" not in str(failure.value)


def test_a_webhook_is_not_followed_elsewhere(receiver: Receiver):
    """A redirect is an answer that is not "taken"."""
    receiver.status, receiver.headers = 302, {"Location": "http://169.254.169.254/"}
    evaluate([WRONG], at=NOW)
    assert "answered 302" in AlertDelivery.objects.get(channel="webhook").last_words


def test_a_sender_that_died_loses_nothing(sink: Sink):
    """What it held is free again after two minutes, and bears the Message-ID of the first try."""
    with transaction.atomic():
        outbox.write(alerts.apply(RULE, [WRONG], now=NOW), now=NOW)
    row = AlertDelivery.objects.get()
    AlertDelivery.objects.update(held_until=NOW + outbox.HELD, tries=1)  # as the dead sender left it
    channels.send(row, now=NOW)  # it may even have sent it
    assert outbox.deliver(now=NOW + MINUTE) == 0
    assert outbox.deliver(now=NOW + 2 * MINUTE) == 1
    assert set(sink.copies().values()) == {2}, "one Message-ID: a mailbox shows it once"


def test_a_step_and_its_message_are_one(sink: Sink):
    """A crash between them leaves neither."""
    with pytest.raises(RuntimeError), transaction.atomic():
        outbox.write(alerts.apply(RULE, [WRONG], now=NOW), now=NOW)
        raise RuntimeError
    assert not Alert.objects.exists()
    assert not AlertDelivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_evaluations_at_once_tell_once(sink: Sink):
    """Supervisor and schedule look in the same moment."""
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        try:
            evaluate([WRONG], at=NOW)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Alert.objects.count(), sink.count()) == (1, 1)


def test_the_command_tests_every_channel(sink: Sink, receiver: Receiver, settings: Settings):
    """It waits for both, prints what they said, and fails if one did not take it."""
    out = StringIO()
    call_command("alerts", "test", stdout=out)
    assert "E-mail to ops@example.com: sent: smtp:127.0.0.1" in out.getvalue()
    assert "Webhook to 127.0.0.1: sent: 200 ok" in out.getvalue()
    assert "[test]" in sink.mails()[0].parsed["Subject"]
    receiver.status = 404
    with pytest.raises(CommandError, match="1 of 2"):
        call_command("alerts", "test", stdout=out)
    settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = [], ""
    with pytest.raises(CommandError, match="Nobody would be told"):
        call_command("alerts", "test")
    assert not AlertDelivery.objects.filter(next_try_at__isnull=False).exists()


def test_what_is_old_is_deleted():
    """Messages after 90 days, resolved alerts after a year; what is open or waits to be sent stays."""
    old = NOW - timedelta(days=400)
    times = {"severity": "page", "pending_at": old, "firing_at": old, "evaluated_at": old}
    gone = Alert.objects.create(rule="a", state="resolved", resolved_at=old, **times)
    kept = Alert.objects.create(rule="b", state="firing", **times)
    message = {"kind": "firing", "channel": "mail", "created_at": NOW - timedelta(days=91)}
    AlertDelivery.objects.create(key="1", alert=gone, sent_at=old, **message)
    AlertDelivery.objects.create(key="2", alert=kept, sent_at=old, **message)
    waits = AlertDelivery.objects.create(key="3", alert=kept, next_try_at=NOW, **message)
    assert alert_retention.clean(now=NOW) == 3
    assert list(Alert.objects.all()) == [kept]
    assert list(AlertDelivery.objects.all()) == [waits]
