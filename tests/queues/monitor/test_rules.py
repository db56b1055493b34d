"""Each rule fires and clears when the real system is driven into the trouble it is for, and out of it again."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import time_machine
from django.conf import settings as django_settings
from django.db import connection, transaction
from django.test import Client
from django.urls import resolve
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import Settings

from queues.desk import ledger, ledger_rule, operations
from queues.desk.ledger import LedgerEntry
from queues.email import emails
from queues.email.models import EmailMessage
from queues.engine import heartbeats, recurring, registry
from queues.engine.breaker import Breaker
from queues.engine.drain import Drain
from queues.engine.heartbeats import Heartbeat
from queues.engine.states import Priority, Status
from queues.monitor import burn_rules, evaluate, objective, queue_rules, rules, schedules, watchman
from queues.monitor.models import Alert, AlertDelivery, Severity, SloHour, SloMinute, Watermark
from queues.monitor.rules import Finding, Rule
from queues.webhooks import counting
from queues.webhooks.models import SweepCursor, SweepDay
from tests.queues.desk.people import mail
from tests.queues.desk.test_ledger import TRIGGERS
from tests.queues.monitor.receiver import Receiver
from tests.queues.webhooks import deliveries
from tests.smtp_sink import Sink

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def now(settings: Settings) -> Iterator[datetime]:
    """A system in which nothing is wrong at this moment."""
    settings.STRIPE_API_KEY = ""
    at = timezone.now()
    Schedule.objects.update(next_run=at + timedelta(days=30))
    counting._counts.kept.clear()
    yield at
    counting._counts.kept.clear()


def fires(*, at: datetime) -> set[tuple[str, str]]:
    """One evaluation of all rules; the open alerts by rule and scope."""
    evaluate.everything(now=at)
    open_ = Alert.objects.exclude(state=Alert.State.RESOLVED)
    for path in {alert.values.get("path") for alert in open_} - {"", None}:
        assert resolve(path.partition("?")[0]).url_name, f"{path} is no page"  # the admin's catch-all has no name
    return set(open_.values_list("rule", "scope"))


def enqueue(count: int = 1, **wished: Any) -> None:
    """So many mails to different people."""
    for number in itertools.islice(_numbers, count):
        emails.enqueue(to=[f"r{number}@example.com"], subject="Hello", text="Hello", **wished)


def drained(*, after: timedelta = timedelta()) -> Counter[str]:
    """The workers come, that much later."""
    return Drain(registry.get("email"), clock=lambda: timezone.now() + after).run()


def test_nothing_fires_in_a_healthy_system(sink: Sink, now: datetime):
    """Mail flows, workers beat, schedules run: silence, today and an hour later."""
    heartbeats.beat(name="cluster:here", now=now)
    enqueue(3)
    assert drained()["ack"] == 3
    assert fires(at=now) == set()
    assert not AlertDelivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_workers_that_do_not_come(sink: Sink, now: datetime):
    """Nobody drains: after five minutes the oldest due item is an alert; it is over when they come."""
    Schedule.objects.update(next_run=now + timedelta(days=30))
    enqueue()
    enqueue(priority=Priority.LOW)
    assert fires(at=now + 4 * MINUTE) == set()
    assert fires(at=now + 6 * MINUTE) == {("queue_behind", "email")}
    assert "(6 min)" in Alert.objects.get().words or "(5 min)" in Alert.objects.get().words
    assert fires(at=now + 7 * MINUTE) == {("queue_behind", "email")}
    drained(after=6 * MINUTE)
    assert fires(at=now + 9 * MINUTE) == set()
    assert [mail.parsed["Subject"] for mail in sink.mails()[:1] + sink.mails()[-1:]] == [
        "[page] Firing: Due work waits too long (email)",
        "[page] Recovered: Due work waits too long (email)",
    ]


def test_what_staff_paused_is_not_behind(now: datetime):
    """A pause is somebody's will; of one type, the others still count."""
    mail(Status.PENDING, now=now)
    mail(Status.PENDING, now=now, kind="campaign", priority=Priority.LOW)
    assert {found.scope for found in queue_rules.behind(now + 6 * MINUTE)} == {"email"}
    actor = operations.Actor.shell()
    operations.pause(queue="email", kind="receipt", actor=actor, reason="x", now=now)
    assert fires(at=now + 6 * MINUTE) == set(), "and what has low priority may wait"
    mail(Status.PENDING, now=now, kind="news")
    assert fires(at=now + 6 * MINUTE) == {("queue_behind", "email")}
    operations.pause(queue="email", kind="", actor=actor, reason="x", now=now)
    assert fires(at=now + 8 * MINUTE) == set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no row locks")
def test_a_lock_that_somebody_holds(sink: Sink, now: datetime):
    """A forgotten transaction holds the row: the workers pass it by, and the alert says that it waits."""
    Schedule.objects.update(next_run=now + timedelta(days=30))
    enqueue()
    db = django_settings.DATABASES["default"]
    name = {"dbname": connection.settings_dict["NAME"], "user": db["USER"], "host": db["HOST"], "port": db["PORT"]}
    with psycopg.connect(**name) as other:
        other.execute("SELECT 1 FROM queues_emailmessage FOR UPDATE")
        assert drained() == Counter()
        assert fires(at=now + 6 * MINUTE) == {("queue_behind", "email")}
    assert drained(after=6 * MINUTE)["ack"] == 1
    assert fires(at=now + 8 * MINUTE) == set()


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_takes_nothing(sink: Sink, receiver: Receiver, now: datetime):
    """SMTP is broken: the breaker opens, and the alert comes through the webhook, since mail is what is broken."""
    Schedule.objects.update(next_run=now + timedelta(days=30))
    sink.set_behaviour("connect554")
    enqueue(6)
    drained()
    name = Breaker.objects.get().name
    assert fires(at=now + MINUTE) == {("provider_stopped", name)}
    assert f"Firing: A provider takes nothing ({name})" in receiver.requests[0].json["text"]
    assert AlertDelivery.objects.get(channel="mail").sent_at is None
    assert fires(at=now + MINUTE * 1.5) == {("provider_stopped", name), ("alerts_undelivered", "mail")}
    sink.set_behaviour("ok")
    sent = 0
    for minute in (3, 4, 5):  # past the breaker's minute: one probe, then the others
        with time_machine.travel(now + minute * MINUTE):
            sent += drained()["ack"]
    assert sent == 6
    assert ("provider_stopped", name) not in fires(at=now + 6 * MINUTE)
    assert fires(at=now + 8 * MINUTE) == set(), "mail gets through again"


@pytest.mark.django_db(transaction=True)
def test_poisoned_mail(sink: Sink, now: datetime):
    """Every mail is refused for good: growth pages, the pile is a ticket; discarding clears both."""
    Schedule.objects.update(next_run=now + timedelta(days=30))
    sink.set_behaviour("550", times=12)
    enqueue(12)
    assert drained()["dead_letter"] == 12
    at = timezone.now()
    assert fires(at=at) == {("dead_letters_growing", "email"), ("dead_letters", "email")}
    first = sink.mails()[0].parsed
    assert first["Subject"] == "[page] Firing: Dead letters pile up (email) and 1 more"
    assert "12 dead letters in queue email within 15 min; 0 are usual now." in first.get_content()
    EmailMessage.objects.update(status=Status.CANCELLED, cancelled_at=at)
    assert fires(at=at + 6 * MINUTE) == set()


def test_growth_is_measured_by_what_is_usual_at_that_hour(now: datetime):
    """Eight in a quarter of an hour: too many where four an hour are usual, not where twelve are."""
    for _ in range(8):
        mail(Status.DEAD_LETTER, now=now)
    for usual, fired in ((4, True), (12, False)):
        for day in range(1, 6):
            while EmailMessage.objects.filter(dead_at=_same_hour(now, day)).count() < usual:
                mail(Status.DEAD_LETTER, now=_same_hour(now, day))
        assert bool(list(queue_rules.dying(now))) is fired


def _same_hour(now: datetime, day: int) -> datetime:
    return objective.hour_of(now) - timedelta(days=day) + 10 * MINUTE


def test_workers_that_fell_silent(sink: Sink, now: datetime):
    """The supervisor itself looks, and sends: no worker is there to do it."""
    heartbeats.beat(name="cluster:here", now=now - 2 * MINUTE)
    assert watchman.round()
    assert Alert.objects.get().rule == "workers_silent"
    assert sink.count() == 0, "not at once: it may be the first beat after a start"
    with time_machine.travel(now + timedelta(seconds=21)):
        assert watchman.round()
    assert sink.mails()[0].parsed["Subject"] == "[page] Firing: Workers are silent (here)"
    with time_machine.travel(now + timedelta(seconds=40)):
        heartbeats.beat(name="cluster:here", now=timezone.now())
        assert watchman.round()
    assert sink.mails()[1].parsed["Subject"] == "[page] Recovered: Workers are silent (here)"


def test_a_machine_taken_away_on_purpose_is_no_alarm_while_others_work(now: datetime):
    """Its supervisor signed off. If nobody works at all it is one."""
    heartbeats.beat(name="cluster:gone", now=now - 9 * MINUTE)
    heartbeats.beat(name="supervisor:gone", now=now - 9 * MINUTE, ended=True)
    heartbeats.beat(name="cluster:here", now=now)
    assert fires(at=now) == set()
    Heartbeat.objects.filter(name="cluster:here").update(seen_at=now - 9 * MINUTE)
    assert fires(at=now) == {("workers_silent", "gone"), ("workers_silent", "here")}


def test_recurring_work_that_does_not_run(sink: Sink, now: datetime):
    """Its time passed; `sync_schedules` and the next run clear it."""
    Schedule.objects.filter(name=f"{recurring.PREFIX}drain email").update(next_run=now - 5 * MINUTE)
    assert fires(at=now) == {("schedule_missed", "")}
    with time_machine.travel(now + 2 * MINUTE):
        assert watchman.round()
    assert Alert.objects.get().words.startswith("“drain email” should have run at")
    assert sink.mails()[0].parsed["Subject"] == "[page] Firing: Recurring work does not run"
    Schedule.objects.update(next_run=now + 5 * MINUTE)
    assert fires(at=now + 4 * MINUTE) == set()


def test_webhooks_that_do_not_verify(settings: Settings, now: datetime):
    """The secret was rolled and nobody told us."""
    settings.STRIPE_WEBHOOK_SECRETS = [deliveries.SECRET]
    body = deliveries.raw(deliveries.snapshot())
    for number in range(5):
        header = f"t={deliveries.stamp(None)},v1={deliveries.sign(body, secret='whsec_other')}"
        answer = Client().post(
            deliveries.ADDRESS, body, content_type="application/json", headers={"Stripe-Signature": header}
        )
        assert answer.status_code == 400, number
    counting.write()
    assert fires(at=now) == {("webhooks_refused", "stripe")}
    assert fires(at=now + timedelta(hours=3)) == set()


def test_clocks_that_disagree(settings: Settings, now: datetime):
    """Signed by the right secret, twenty minutes ago by our clock."""
    settings.STRIPE_WEBHOOK_SECRETS = [deliveries.SECRET]
    body = deliveries.raw(deliveries.snapshot())
    at = int(now.timestamp()) - 1200
    header = f"t={at},v1={deliveries.sign(body, at=at)}"
    for _ in range(3):
        Client().post(deliveries.ADDRESS, body, content_type="application/json", headers={"Stripe-Signature": header})
    counting.write()
    assert fires(at=now) == {("clock_skew", "stripe")}
    assert "their time is -1,2" in Alert.objects.get().words
    assert fires(at=now + timedelta(hours=3)) == set()


def test_events_that_were_never_delivered(settings: Settings, now: datetime):
    """The sweep stored three; and a sweep that does not run is told, too."""
    settings.STRIPE_API_KEY = "sk_test_x"
    SweepDay.objects.create(provider="stripe", day=now.date(), listed=40, missing=3)
    cursor = SweepCursor.objects.create(provider="stripe", event_id="evt_1", occurred_at=now, swept_at=now)
    assert fires(at=now) == {("sweep_gaps", "stripe")}
    assert "3 of 40 events" in Alert.objects.get().words
    assert fires(at=now + timedelta(hours=4)) == {("sweep_gaps", "stripe"), ("sweep_gaps", "sweep")}
    SweepCursor.objects.filter(pk=cursor.pk).update(swept_at=now + timedelta(days=3))
    assert fires(at=now + timedelta(days=3)) == set()


@pytest.mark.django_db(transaction=True)
def test_a_ledger_that_was_changed(sink: Sink, now: datetime):
    """By somebody with the database's password; found by the nightly walk, over when the words are back."""
    with transaction.atomic():
        entry = ledger.record(act="pause", actor=None, actor_name="shell:x", reason="honest", now=now)
    assert ledger_rule.verify(now=now).startswith("whole")
    with connection.cursor() as cursor:
        for statement in TRIGGERS[connection.vendor]:
            cursor.execute(statement)
    LedgerEntry.objects.filter(pk=entry.pk).update(reason="another")
    ledger_rule.verify(now=now)
    evaluate.everything(now=now)  # sends it; and does not take it for over, since it is not polled
    assert sink.mails()[0].parsed["Subject"] == "[page] Firing: The ledger was changed"
    assert f"at entry {entry.pk}" in Alert.objects.get(rule="ledger_broken").words
    LedgerEntry.objects.filter(pk=entry.pk).update(reason="honest")
    ledger_rule.verify(now=now + MINUTE)
    assert not Alert.objects.filter(rule="ledger_broken").exclude(state="resolved").exists()


def promise() -> objective.Objective:
    """An objective of the project's own, with a target."""
    goals = objective.promised()
    if not goals:
        pytest.skip("no objectives yet")
    return next((goal for goal in goals if "email" in goal.key), goals[0])


def test_a_budget_that_burns(sink: Sink, now: datetime):
    """An hour of nothing but failures pages; when it is good again for a while it is over."""
    goal = promise()
    end = objective.minute_of(now) - goal.source.settles
    rows = [SloMinute(objective=goal.key, minute=end - n * MINUTE, bad=1) for n in range(1, 61)]
    SloMinute.objects.bulk_create(rows)
    open_ = fires(at=now)
    assert ("budget_burning", goal.key) in open_
    assert ("budget_burning_slowly", goal.key) not in open_, "who was called need not be told by letter, too"
    alert = Alert.objects.get(rule="budget_burning")
    assert "60 of 60 were bad within 1 h" in alert.words
    assert alert.incident is not None
    later = now + timedelta(minutes=45)
    SloMinute.objects.bulk_create([SloMinute(objective=goal.key, minute=end + n * MINUTE, good=50) for n in range(44)])
    assert ("budget_burning", goal.key) not in fires(at=later)


def test_a_budget_that_leaks(now: datetime):
    """Three days of a little too much, most of it in hour rows: a ticket."""
    goal = promise()
    end = objective.hour_of(now - goal.source.settles)
    share = 2 * (1 - (goal.target or 0))
    SloHour.objects.bulk_create(
        SloHour(
            objective=goal.key, hour=end - timedelta(hours=n), good=round(1000 * (1 - share)), bad=round(1000 * share)
        )
        for n in range(6, 80)
    )
    SloMinute.objects.bulk_create(
        SloMinute(objective=goal.key, minute=end - n * MINUTE, good=round(100 * (1 - share)), bad=round(100 * share))
        for n in range(-60, 361)
    )
    assert ("budget_burning_slowly", goal.key) in fires(at=now)
    assert ("budget_burning", goal.key) not in fires(at=now)
    assert Alert.objects.get(rule="budget_burning_slowly").severity == Severity.TICKET
    SloHour.objects.update(good=10**6, bad=0)
    assert list(burn_rules._look(Severity.TICKET, now)) == [], "the days before were good: it began just now"


def test_silence_where_there_is_never_any(now: datetime):
    """Twelve a day in these hours on each of seven days, none today; a quiet Sunday among them and it is no sign."""
    goal = promise()
    at = objective.hour_of(now) + 45 * MINUTE
    for day in range(1, 8):
        for hour in range(1, 13):
            begin = objective.hour_of(at) - timedelta(days=day, hours=hour)
            SloHour.objects.create(objective=goal.key, hour=begin, good=3)
    assert ("no_success", goal.key) in {("no_success", found.scope) for found in queue_rules.silent(at)}
    SloMinute.objects.create(objective=goal.key, minute=at - timedelta(minutes=50), good=1)
    assert list(queue_rules.silent(at)) == []
    SloMinute.objects.all().delete()
    SloHour.objects.filter(hour__lt=at - timedelta(days=3), hour__gt=at - timedelta(days=4)).delete()
    assert list(queue_rules.silent(at)) == []


def test_measuring_that_stands(now: datetime):
    """A rollup that fails says why; one that does not run is missed after ten minutes."""
    row = Watermark.objects.create(objective="email", until=now, ran_at=now, words="OperationalError")
    assert fires(at=now) == {("measuring_stands", "email")}
    assert "OperationalError" in Alert.objects.get().words
    Watermark.objects.filter(pk=row.pk).update(words="")
    assert fires(at=now + 2 * MINUTE) == set()
    assert fires(at=now + 11 * MINUTE) == {("measuring_stands", "email")}


def test_recurring_work_that_fails(now: datetime):
    """Its last run raised; the next good one clears it. One failure of what comes each minute is nothing."""
    said = {"name": f"{recurring.PREFIX}sweep stripe", "started_at": now, "stopped_at": now}
    schedules.ran(**said, succeeded=False, words="Traceback ...\nNoAnswer: stripe did not answer")
    assert fires(at=now) == {("schedule_failing", "sweep stripe")}
    assert Alert.objects.get().state == "pending"
    fires(at=now + 5 * MINUTE)
    assert Alert.objects.get().state == "firing"
    assert Alert.objects.get().words.endswith("NoAnswer: stripe did not answer")
    schedules.ran(**said, succeeded=True, words="")
    assert fires(at=now + 7 * MINUTE) == set()


def test_a_rule_that_fails_is_told_and_the_others_look_on(now: datetime, monkeypatch: pytest.MonkeyPatch):
    """And its own alerts stay: unknown is not over."""

    def look(at: datetime) -> list[Finding]:
        if at > now:
            raise KeyError("x")
        return [Finding(words="wrong")]

    rule = Rule(name="sample", title="Sample", severity=Severity.TICKET, look=look, advice="")
    monkeypatch.setitem(rules._rules, "sample", rule)
    heartbeats.beat(name="cluster:here", now=now)
    assert fires(at=now) == {("sample", "")}
    assert fires(at=now + 2 * MINUTE) == {("sample", ""), ("rule_broken", "sample"), ("workers_silent", "here")}


def test_every_rule_has_words_for_whoever_is_woken():
    """A title, what to do, and a section of the runbook."""
    page = (django_settings.BASE_DIR / "docs" / "monitoring.md").read_text()
    for rule in rules.all_rules():
        assert len(rule.title) < 60
        assert len(rule.advice) > 60, rule.name
        assert f"### `{rule.name}`" in page, f"{rule.name} has no runbook in docs/monitoring.md"


@pytest.mark.django_db(transaction=True)
def test_the_watch_goes_on_without_the_database(monkeypatch: pytest.MonkeyPatch):
    """A thread of the supervisor; an outage is a line of the log. The outage itself is the far edge."""
    from django.db import OperationalError

    def away(**_: Any) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "without_workers", away)
        assert not watchman.round()
    assert watchman.round()


@pytest.mark.django_db(transaction=True)
def test_the_watch_runs_beside_the_supervisor(sink: Sink, now: datetime):
    """A real thread; when the supervisor ends by itself, it signs off."""
    Schedule.objects.update(next_run=now + timedelta(days=30))
    heartbeats.beat(name="cluster:here", now=now - 2 * MINUTE)
    with time_machine.travel(now, tick=True) as clock, watchman.on_duty(every=0.05, first=0.01):
        while not Alert.objects.exists():
            threading.Event().wait(0.02)
        clock.shift(21)
        sink.wait_for(1, timeout=10)
    assert Heartbeat.objects.get(name__startswith="supervisor:").detail == {"ended": True}
    for thread in threading.enumerate():
        if thread.name == "watchman":
            thread.join(timeout=5)
