"""The fan-out: one delivery a device, once for each key, to whom it may go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from notifications import push
from notifications.models import PushDelivery, PushDevice
from notifications.states import DeviceStatus
from queues.engine import wake
from queues.engine.states import Priority, Status
from tests.notifications.sending.world import Service, device, drain, many, person

pytestmark = pytest.mark.django_db


def notify(*devices: PushDevice, **parts: Any) -> push.Pushed:
    users = [each.installation.user_id for each in devices]
    return push.notify(**{"users": users, "title": "Doors open", **parts})


def test_each_device_gets_one_delivery_with_what_it_needs():
    anna = person()
    phone, laptop = device(anna), device(anna, transport="webpush")
    now = timezone.now()
    words = {"title": "Doors open", "body": "Row 7", "url": "/tickets/", "data": {"seat": "7"}}
    made = push.notify(users=[anna, anna.pk], ttl=timedelta(hours=2), category="tickets", urgent=True, now=now, **words)
    assert (made.deliveries, made.no_device, made.suppressed, made.repeated) == (2, 0, {}, False)
    rows = list(PushDelivery.objects.order_by("device"))
    assert [row.device_id for row in rows] == [phone.pk, laptop.pk]
    for row in rows:
        assert (row.status, row.kind, row.user_id, row.push_id) == (Status.PENDING, "tickets", anna.pk, made.push_id)
        assert (row.due_at, row.expires_at, row.priority) == (now, now + timedelta(hours=2), Priority.URGENT)
        assert row.payload == {"title": "Doors open", "body": "Row 7", "url": "/tickets/", "data": {"seat": "7"}}
        assert row.collapse_id == made.push_id.hex
        assert len(row.collapse_id) <= 32, "what a Web Push Topic holds"


@pytest.mark.parametrize(
    ("fields", "plain", "campaign", "urgent"),
    [
        ({}, 1, 1, 1),
        ({"status": DeviceStatus.SUSPECT}, 1, 1, 1),
        ({"status": DeviceStatus.STALE}, 1, 0, 1),
        ({"status": DeviceStatus.PENDING}, 0, 0, 0),
        ({"status": DeviceStatus.INVALID}, 0, 0, 0),
        ({"status": DeviceStatus.UNREGISTERED}, 0, 0, 0),
        ({"quarantined_at": timezone.now()}, 0, 0, 0),
    ],
)
def test_which_devices_a_push_reaches(fields: dict[str, Any], plain: int, campaign: int, urgent: int):
    one = device(**fields)
    assert notify(one).deliveries == plain
    PushDelivery.objects.all().delete()
    assert notify(one, campaign="spring").deliveries == campaign
    PushDelivery.objects.all().delete()
    made = notify(one, campaign="spring", urgent=True)
    assert (made.deliveries, made.no_device) == (urgent, 1 - urgent)


def test_a_campaign_tries_a_suspect_device_once_an_hour():
    one = device(status=DeviceStatus.SUSPECT)
    now = timezone.now()
    reached = [notify(one, campaign="c", now=now + timedelta(minutes=m)).deliveries for m in (0, 5, 59, 61)]
    assert reached == [1, 0, 0, 1]


def test_the_same_key_is_the_same_push_also_when_the_address_changed_in_between():
    anna = person()
    old = device(anna)
    first = notify(old, key="order-7")
    PushDevice.objects.filter(pk=old.pk).update(status=DeviceStatus.INVALID, status_reason="replaced")
    new = device(installation=old.installation)
    again = notify(new, key="order-7")
    assert (again.push_id, again.repeated, first.repeated) == (first.push_id, True, False)
    assert PushDelivery.objects.count() == 1
    other = device()
    assert not notify(new, other, key="order-7").repeated, "somebody new got it"
    assert PushDelivery.objects.count() == 2
    with pytest.raises(push.KeyConflict):
        notify(device(), new, key="order-7", body="something else")
    assert PushDelivery.objects.count() == 2, "nothing of the refused call is stored"


def test_nothing_leaves_before_the_callers_transaction_commits(django_capture_on_commit_callbacks: Any):
    one = device()
    wake._hinted.clear()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(one)
        raise ZeroDivisionError
    assert not PushDelivery.objects.exists()
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        notify(one)
        assert not OrmQ.objects.exists()
    assert OrmQ.objects.get().task["args"] == ("push",)


def test_a_thousand_users_cost_few_statements(django_assert_max_num_queries: Any):
    devices = many(1000)
    with django_assert_max_num_queries(20):
        made = notify(*devices)
    assert (made.deliveries, PushDelivery.objects.count()) == (1000, 1000)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": " "}, "title"),
        ({"title": 7}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"title": "a\ud800"}, "title"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "//evil.example"}, "url"),
        ({"url": "/\\evil.example"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"data": {"n": 7}}, "data"),
        ({"data": {"from": "x"}}, "data"),
        ({"data": {"google.x": "x"}}, "data"),
        ({"data": {"a": "\x00"}}, "data"),
        ({"data": {"tag": "x"}}, "data"),
        ({"body": "x" * 3_800}, "body"),
        ({"body": "\N{PILE OF POO}" * 950}, "body"),
        ({"data": {f"k{n}": "x" * 90 for n in range(60)}}, "data"),
        ({"category": "a\nb"}, "category"),
        ({"campaign": "x" * 101}, "campaign"),
        ({"key": "auto:1"}, "key"),
        ({"key": "x" * 221}, "key"),
        ({"ttl": timedelta()}, "ttl"),
        ({"ttl": timedelta(days=29)}, "ttl"),
        ({"send_at": timezone.now().replace(tzinfo=None)}, "send_at"),
    ],
)
def test_what_no_transport_would_take_is_refused_before_it_is_stored(parts: dict[str, Any], field: str):
    with pytest.raises(push.Invalid) as refused:
        notify(device(), **parts)
    assert refused.value.field == field
    assert not PushDelivery.objects.exists()


def test_the_longest_push_there_may_be_is_taken(service: Service):
    notify(device(), title="x" * 200, body="\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 1_700)
    assert drain() == {"ack": 1}


def test_later_means_later():
    now = timezone.now()
    notify(device(), send_at=now + timedelta(hours=3), ttl=timedelta(hours=1), now=now)
    row = PushDelivery.objects.get()
    assert (row.due_at, row.first_due_at, row.expires_at) == (
        now + timedelta(hours=3),
        now + timedelta(hours=3),
        now + timedelta(hours=4),
    )
