"""One attempt: every verdict of a push service, and what it does to delivery, device, lane and campaign."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notifications import push
from notifications.models import DeviceTransition, Lane, PushDelivery, PushDevice
from notifications.sending import figures, words
from notifications.states import DeviceStatus, Transport
from notifications.transports.answers import Answer, Verdict
from queues.engine.attempts import Attempt
from queues.engine.breaker import Breaker
from queues.engine.states import Status
from tests.notifications.sending.world import ACCEPTED, DEAD, Service, by_status, device, drain, many, person

pytestmark = pytest.mark.django_db(transaction=True)


def notify(*devices: PushDevice, **parts: Any) -> push.Pushed:
    return push.notify(**{"users": [each.installation.user_id for each in devices], "title": "Doors open", **parts})


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [line for line in lines if line["event"] == event]


def only() -> PushDelivery:
    return PushDelivery.objects.get()


def test_accepted(service: Service):
    one = device()
    made = notify(one, body="Row 7", url="/t/", data={"seat": "7"}, ttl=timedelta(hours=2), urgent=True)
    assert drain() == {"ack": 1}
    row = only()
    assert (str(words.of(row)), row.provider_id, row.lane_key) == ("accepted", "p-1", "default/fcm/production")
    assert row.accepted_at is not None
    one.refresh_from_db()
    assert one.last_successful_send_at is not None
    (sent,) = service.messages
    assert (sent.title, sent.body, sent.url, sent.data, sent.urgent) == (
        "Doors open",
        "Row 7",
        "/t/",
        {"seat": "7"},
        True,
    )
    assert sent.collapse_id == made.push_id.hex
    assert timedelta(minutes=119) < sent.ttl <= timedelta(hours=2), "the time that is left"
    assert "/push/ack/" in sent.ack_url


def test_retry_goes_by_the_schedule_and_then_it_is_a_dead_letter(service: Service):
    one = device()
    notify(one)
    service.say(Verdict.RETRY, status="429", words="slow down")
    later = timedelta()
    for delay in (0, 1, 5, 30):
        later += timedelta(seconds=delay + 1)
        drain(after=later)
    row = only()
    assert (row.status, row.attempts, str(words.of(row))) == (Status.DEAD_LETTER, 4, "failed (fcm 429)")
    one.refresh_from_db()
    assert one.status == DeviceStatus.ACTIVE, "nothing is wrong with the device"
    assert len(set(service.sent)) == 1, "the same collapse id each time"


def test_a_device_whose_pushes_fail_three_times_in_a_row_is_suspect_and_an_outage_is_not_its_fault(service: Service):
    one, other = device(), device(transport="apns")
    service.answer = lambda message, address: Answer(
        Verdict.RETRY, status="429" if address.address == one.address else "503"
    )
    for number in range(3):
        push.notify(users=[one.installation.user_id, other.installation.user_id], title=f"n{number}")
        PushDelivery.objects.update(max_retries=0)
        drain()
    for each in (one, other):
        each.refresh_from_db()
    assert (one.status, one.status_reason, one.failure_count) == (DeviceStatus.SUSPECT, "failing", 3)
    assert (other.status, other.failure_count) == (DeviceStatus.ACTIVE, 0)


def test_retry_after_is_rescheduled_and_never_slept(service: Service):
    notify(device())
    service.say(Verdict.RETRY, status="503", retry_after=timedelta(hours=2))
    assert drain() == {"retry": 1}
    assert timedelta(minutes=119) < only().due_at - timezone.now() < timedelta(minutes=121)


def test_uncertain_is_said_so_and_repeated_with_the_same_collapse_id(service: Service):
    notify(device())
    service.say(Verdict.UNCERTAIN, status="timeout", words="no answer came")
    drain()
    row = only()
    assert (row.status, str(words.of(row))) == (Status.RETRYING, "uncertain")
    service.answer = lambda message, address: ACCEPTED
    drain(after=timedelta(seconds=3))
    assert str(words.of(only())) == "accepted"
    assert list(service.copies().values()) == [2], "one address, one collapse id, twice"


def test_invalidate_ends_delivery_and_device_with_the_services_own_words(service: Service):
    one = device()
    notify(one)
    service.answer = lambda message, address: DEAD
    assert drain() == {"dead_letter": 1}
    row = only()
    assert str(words.of(row)) == "failed (dead address: fcm 404 UNREGISTERED)"
    one.refresh_from_db()
    assert (one.status, one.status_reason) == (DeviceStatus.INVALID, "refused")
    said = DeviceTransition.objects.get(device=one)
    assert (said.transport_status, said.transport_reason, said.delivery_id) == ("404", "UNREGISTERED", row.pk)


def test_suspect(service: Service):
    one = device()
    notify(one)
    service.say(Verdict.SUSPECT, status="403", reason="SENDER_ID_MISMATCH", device_reason="wrong_sender")
    assert drain() == {"dead_letter": 1}
    one.refresh_from_db()
    assert one.status == DeviceStatus.SUSPECT
    service.answer = lambda message, address: ACCEPTED
    notify(one)
    drain()
    one.refresh_from_db()
    assert one.status == DeviceStatus.ACTIVE, "a success clears it"


def test_our_own_fault_harms_no_device_and_the_campaign_is_held(service: Service, monkeypatch: pytest.MonkeyPatch):
    devices = many(40)
    notify(*devices, campaign="spring")
    notify(devices[0], campaign="autumn")
    service.answer = lambda message, address: (
        ACCEPTED if message.collapse_id != spring else Answer(Verdict.FAULT, status="400", reason="INVALID_ARGUMENT")
    )
    spring = PushDelivery.objects.filter(campaign="spring")[0].collapse_id
    counts = drain()
    assert counts["dead_letter"] + counts["snooze"] == 40
    assert 5 <= counts["dead_letter"] <= 5 + 10, "after five in a row nothing of it is sent; ten hands were at it"
    assert counts["ack"] == 1, "another campaign goes on"
    assert set(PushDevice.objects.values_list("status", flat=True)) == {DeviceStatus.ACTIVE}
    held = PushDelivery.objects.filter(campaign="spring", status=Status.RETRYING)
    assert set(held.values_list("attempts", "last_code")) == {(0, "breaker")}, "nothing is charged"


@pytest.mark.parametrize("status", ["413", "302"])
def test_endpoints_that_answer_nonsense_hold_no_campaign(service: Service, status: str):
    """Anybody may register a Web Push address of a server of their own."""
    devices = many(30, transport=Transport.WEBPUSH)
    hostile = {each.address for each in devices[:12]}
    service.answer = lambda message, address: (
        Answer(Verdict.FAULT, status=status) if address.address in hostile else ACCEPTED
    )
    notify(*devices, campaign="spring")
    assert drain() == {"ack": 18, "dead_letter": 12}


def test_a_token_of_apples_other_environment_is_known_there_from_then_on(service: Service):
    one = device(transport=Transport.APNS)
    service.answer = lambda message, address: Answer(Verdict.ACCEPTED, status="200", extra={"environment": "sandbox"})
    notify(one)
    assert drain() == {"ack": 1}
    one.refresh_from_db()
    assert (one.environment, one.transitions.latest("pk").cause) == ("sandbox", "other environment")


def test_stop_stops_the_lane_and_its_clock_until_it_works_again(service: Service):
    devices = many(30)
    notify(*devices)
    service.say(Verdict.STOP, status="401", lane_reason="credential refused", words="UNAUTHENTICATED")
    counts = drain()
    assert counts == {"snooze": 30}
    assert len(service.sent) <= 10, "one try of each hand at most"
    lane = Lane.objects.get()
    assert (lane.state, lane.reason, lane.words, lane.until) == (
        "stopped",
        "credential refused",
        "UNAUTHENTICATED",
        None,
    )
    assert set(PushDelivery.objects.values_list("attempts", flat=True)) == {0}, "the clock stands still"
    # Nobody repaired it: nothing is sent, however often it looks.
    before = len(service.sent)
    drain(after=timedelta(seconds=61))
    assert len(service.sent) == before
    # Staff say it is repaired: one tries, the others follow.
    service.answer = lambda message, address: ACCEPTED
    Lane.objects.update(until=timezone.now() - timedelta(seconds=1))
    drain(after=timedelta(seconds=122))
    assert len(service.sent) == before + 1
    drain(after=timedelta(seconds=130))
    assert by_status() == {"succeeded": 30}
    lane.refresh_from_db()
    assert lane.state == "open"
    assert set(PushDevice.objects.values_list("status", flat=True)) == {DeviceStatus.ACTIVE}


def test_a_lane_paused_for_a_time_opens_by_itself_and_another_credential_is_another_lane(service: Service):
    notify(device())
    service.say(Verdict.STOP, status="429", lane_reason="signed too often", lane_for=timedelta(minutes=20))
    drain()
    lane = Lane.objects.get()
    assert lane.until is not None
    assert timedelta(minutes=19) < lane.until - timezone.now() < timedelta(minutes=21)
    service.account = "key-2"
    service.answer = lambda message, address: ACCEPTED
    drain(after=timedelta(seconds=61))
    assert by_status() == {"succeeded": 1}


def test_an_answer_nobody_knows_is_alerted_and_harms_no_device(service: Service, caplog: pytest.LogCaptureFixture):
    one = device()
    notify(one)
    service.say(Verdict.UNKNOWN, status="418", reason="Teapot")
    later = timedelta()
    for delay in (0, 1, 5, 30):
        later += timedelta(seconds=delay + 1)
        drain(after=later)
    lines = told(caplog, "push.unknown_answer")
    assert {(line["level"], line["status"], line["reason"]) for line in lines} == {("error", "418", "Teapot")}
    assert only().status == Status.DEAD_LETTER
    one.refresh_from_db()
    assert one.status == DeviceStatus.ACTIVE


def test_a_service_that_is_down_is_left_alone_and_burns_no_attempts(service: Service):
    notify(*many(60))
    service.say(Verdict.RETRY, status="503", words="unavailable")
    counts = drain()
    assert 5 <= counts["retry"] <= 15
    assert counts["retry"] + counts["snooze"] >= 60, "a retry that fell due meanwhile is snoozed too"
    assert by_status() == {"retrying": 60}
    assert PushDelivery.objects.filter(attempts__gt=1).count() == 0
    service.answer = lambda message, address: ACCEPTED
    later = timedelta(seconds=62)
    while PushDelivery.objects.exclude(status=Status.SUCCEEDED).exists() and later < timedelta(seconds=90):
        drain(after=later)
        Breaker.objects.filter(failures=0).delete()
        later += timedelta(seconds=3)
    assert by_status() == {"succeeded": 60}


def test_each_web_push_origin_has_a_breaker_of_its_own(service: Service):
    good = [device(transport="webpush", address=f"https://good.example/{n}") for n in range(3)]
    bad = [device(transport="webpush", address=f"https://bad.example/{n}") for n in range(9)]
    notify(*good, *bad)
    service.answer = lambda message, address: (
        Answer(Verdict.RETRY, status="connect") if "bad" in address.address else ACCEPTED
    )
    drain()
    assert PushDelivery.objects.filter(device__in=good, status=Status.SUCCEEDED).count() == 3
    assert Breaker.objects.get(name="push https://bad.example").open_until is not None


def test_a_delivery_goes_to_the_address_that_took_the_old_ones_place(service: Service):
    anna = person()
    old = device(anna)
    notify(old)
    new = device(installation=old.installation, status=DeviceStatus.UNREGISTERED)
    PushDevice.objects.filter(pk=old.pk).update(status="invalid", status_reason="replaced", superseded_by=new)
    PushDevice.objects.filter(pk=new.pk).update(status=DeviceStatus.PENDING)
    assert drain() == {"snooze": 1}, "it waits until the new one is proven"
    PushDevice.objects.filter(pk=new.pk).update(status=DeviceStatus.ACTIVE)
    assert drain(after=timedelta(seconds=6)) == {"ack": 1}
    assert [address for address, _ in service.sent] == [new.address]
    assert only().device_id == new.pk


@pytest.mark.parametrize("reason", ["device", "transferred", "preference"])
def test_what_changed_since_it_was_enqueued_counts_when_it_is_sent(service: Service, reason: str):
    one = device()
    notify(one, category="news")
    if reason == "device":
        PushDevice.objects.filter(pk=one.pk).update(status="unregistered", status_reason="logged_out")
    elif reason == "transferred":
        type(one.installation).objects.filter(pk=one.installation_id).update(user=person())
    else:
        one.installation.user.push_preferences.create(category="news", wanted=False)
    assert drain() == {"cancel": 1}
    assert not service.sent, "the new owner of a phone never sees the old one's pushes"
    assert str(words.of(only())) == f"suppressed ({reason})"


def test_what_has_expired_is_not_sent(service: Service):
    notify(device(), ttl=timedelta(minutes=5))
    drain(after=timedelta(minutes=6))
    assert (str(words.of(only())), service.sent) == ("expired", [])


def test_limits_hold_back_and_do_not_lose(service: Service, settings: Any):
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"push.user": (2, 3600), "push.campaign": (3, 3600)}
    anna = device()
    for number in range(3):
        notify(anna, title=f"n{number}")
    notify(*many(5), campaign="spring")
    counts = drain()
    assert counts == {"ack": 5, "snooze": 3}
    waiting = PushDelivery.objects.filter(status=Status.RETRYING)
    assert sorted(waiting.values_list("waits_for", flat=True)) == ["rate:push.campaign"] * 2 + ["rate:push.user"]


def test_the_figures_leave_out_what_nobody_could_have_taken(service: Service):
    now = timezone.now()
    devices = many(6)
    dead, silent = devices[0].address, devices[1].address
    service.answer = lambda message, address: (
        DEAD if address.address == dead else Answer(Verdict.FAULT) if address.address == silent else ACCEPTED
    )
    notify(*devices, ttl=timedelta(minutes=1))
    drain()
    unwanted = device()
    unwanted.installation.user.push_preferences.create(category="", wanted=False)
    notify(unwanted)
    notify(device(), send_at=now + timedelta(seconds=5))
    PushDelivery.objects.filter(device=devices[2]).update(delivered_at=timezone.now())
    PushDelivery.objects.filter(device=devices[3]).update(accepted_at=now + timedelta(hours=1))
    found = figures.between(since=now - timedelta(minutes=1), until=now + timedelta(minutes=1), now=timezone.now())
    assert (found.eligible, found.accepted, found.confirmed) == (5, 3, 1)
    assert (found.accepted_share, found.confirmed_share) == (0.6, 1 / 3)
    assert Attempt.objects.filter(queue="push").count() == 6


def test_the_words_of_python_and_sql_are_the_same():
    now = timezone.now()
    for number, status in enumerate(Status.values):
        for code in ("", "expired", "suppressed:preference", "discarded"):
            for times in ({}, {"uncertain_at": now}, {"delivered_at": now}, {"delivered_at": now, "opened_at": now}):
                lease = {"lease_token": "0" * 32, "leased_until": now} if status == Status.PROCESSING else {}
                PushDelivery.objects.create(
                    idempotency_key=f"{number}{code}{sorted(times)}",
                    status=status,
                    last_code=code,
                    collapse_id="x",
                    **lease,
                    **times,
                )
    rows = PushDelivery.objects.annotate(sql=words.EXPRESSION)
    assert {row.sql for row in rows} == set(words.WORDS)
    assert all(words.of(row).word == row.sql for row in rows)
