"""Push at the desk: who gets what, by GET and by POST, and what the pages say and do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from notifications import permissions, push
from notifications.models import DeviceTransition, Lane, PushDelivery, PushDevice
from notifications.sending import staff
from notifications.states import DeviceStatus
from queues.desk.ledger import LedgerEntry, verify
from queues.desk.operations import Actor, ReasonMissing
from tests.notifications.sending.world import Service, device, drain, many
from tests.queues.desk.people import client_of, person

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ADMINISTRATORS = frozenset({"administrator"})
OPERATORS = ADMINISTRATORS | {"operator"}
STAFF = OPERATORS | {"observer"}
PEOPLE = ("anonymous", "customer", *sorted(STAFF))

PAGES = {
    **{f"notifications_{model}_{page}": STAFF for model in ("pushdelivery", "pushdevice", "installation", "lane")
       for page in ("changelist", "change")},
    "notifications_pushdelivery_act": OPERATORS,
    "notifications_pushdelivery_export": STAFF,
    "notifications_pushdelivery_live": STAFF,
    "notifications_pushdelivery_unmask": STAFF,  # a GET shows the item
    "notifications_pushdevice_test": OPERATORS,
    "notifications_pushdevice_unregister": OPERATORS,
    "notifications_lane_resume": OPERATORS,
    "notifications_lane_restore": OPERATORS,
    "notifications_lane_release": OPERATORS,
}  # fmt: skip
"""Who may GET each address. What is neither here nor in `CLOSED` fails the test: a new page needs an entry."""
CLOSED = re.compile(r"notifications_(pushdevice|installation|lane)_(add|delete|history)")


def names() -> Iterator[str]:
    def walk(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns)
            elif pattern.name and pattern.name.startswith("notifications_"):
                yield pattern.name

    yield from sorted(set(walk(admin.site.get_urls())))


@pytest.fixture
def one() -> PushDevice:
    return device(address="secret-token-123456")


@pytest.fixture
def lane() -> Lane:
    return Lane.objects.create(
        app="default", transport="fcm", environment="production", credential="k", state="stopped", reason="bad key"
    )


@pytest.fixture
def addresses(one: PushDevice, lane: Lane) -> dict[str, str]:
    push.notify(users=[one.installation.user_id], title="Doors open", body="a secret word")
    rows = {
        "pushdelivery": PushDelivery.objects.get().pk,
        "pushdevice": one.pk,
        "installation": one.installation_id,
        "lane": lane.pk,
    }
    found = {}
    for name in PAGES:
        _app, model, page = name.split("_")
        if page == "act":
            found[name] = reverse(f"admin:{name}", args=["discard"]) + f"?id={rows[model]}"
        else:
            found[name] = reverse(
                f"admin:{name}", args=[] if page in ("changelist", "export", "live") else [rows[model]]
            )
    return found


@pytest.mark.parametrize("who", PEOPLE)
def test_the_matrix_of_get(addresses: dict[str, str], who: str):
    assert set(PAGES) == {name for name in names() if not CLOSED.fullmatch(name)}
    client = client_of(who)
    for name, allowed in PAGES.items():
        answer = client.get(addresses[name])
        if who in allowed:
            assert answer.status_code in (200, 405 if name.endswith("unmask") else 200, 302), (name, answer.status_code)
        else:
            assert answer.status_code in (302, 403), (name, answer.status_code)
            assert (
                answer.status_code == 403
                or "/accounts/login" in answer["Location"]
                or "/admin/login" in answer["Location"]
            )
    assert LedgerEntry.objects.count() == 0, "a look changes nothing"
    assert PushDelivery.objects.count() == 1


ACTS = ("pushdevice_test", "pushdevice_unregister", "lane_resume", "lane_restore", "lane_release")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("who", ["anonymous", "customer", "observer"])
def test_who_may_not_changes_nothing_and_the_attempt_is_in_the_ledger(addresses: dict[str, str], act: str, who: str):
    before = list(PushDevice.objects.values()), list(Lane.objects.values()), PushDelivery.objects.count()
    answer = client_of(who).post(addresses[f"notifications_{act}"], {"reason": "because"})
    assert answer.status_code == (403 if who == "observer" else 302)
    assert (list(PushDevice.objects.values()), list(Lane.objects.values()), PushDelivery.objects.count()) == before
    refused = LedgerEntry.objects.values_list("act", "reason")
    assert [(name.startswith("refused "), reason) for name, reason in refused] == (
        [(True, "because")] if who == "observer" else []
    )


@pytest.mark.parametrize("act", ACTS)
def test_every_act_wants_a_reason(addresses: dict[str, str], act: str):
    answer = client_of("operator").post(addresses[f"notifications_{act}"], {"reason": "  "})
    assert answer.status_code == 400
    assert not LedgerEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_test_push_goes_out_although_the_user_wants_none(service: Service, one: PushDevice):
    one.installation.user.push_preferences.create(category="", wanted=False)
    page = client_of("operator").post(
        reverse("admin:notifications_pushdevice_test", args=[one.pk]), {"reason": "she says nothing comes"}, follow=True
    )
    row = PushDelivery.objects.get()
    assert f"A test push is on its way: delivery {row.pk}." in page.content.decode()
    assert drain() == {"ack": 1}
    assert service.sent[0][0] == one.address
    entry = LedgerEntry.objects.get()
    assert (entry.act, entry.items, entry.reason, entry.result) == (
        "test_device", [one.pk], "she says nothing comes", {"delivery": row.pk},
    )  # fmt: skip
    assert verify().whole


def test_unregister_is_told_on_the_devices_own_page(one: PushDevice):
    client = client_of("operator")
    address = reverse("admin:notifications_pushdevice_unregister", args=[one.pk])
    for _ in range(2):  # the second is told that there was nothing to do
        page = client.post(address, {"reason": "stolen phone"}, follow=True).content.decode()
    assert "its address was not in use" in page
    one.refresh_from_db()
    assert (one.status, one.status_reason) == (DeviceStatus.UNREGISTERED, "staff")
    assert LedgerEntry.objects.count() == 1
    for words in ("Unregistered", "stolen phone", "Unregister device by operator", "Nothing is sent to it"):
        assert words in page
    assert "Send a test push …" not in page, "there is nothing left to test"


@pytest.mark.parametrize(("act", "status"), [("restore", "active"), ("release", "invalid")])
def test_a_quarantine_is_judged_by_one_click(lane: Lane, act: str, status: str):
    now = timezone.now()
    Lane.objects.filter(pk=lane.pk).update(reason="mass invalidation")
    many(25, status="invalid", status_reason="refused", quarantined_at=now)
    other = device(transport="apns", quarantined_at=now)
    client = client_of("operator")
    address = reverse(f"admin:notifications_lane_{act}", args=[lane.pk])
    assert "25 devices" in client.get(address).content.decode()
    page = client.post(address, {"reason": "we had the wrong key"}, follow=True).content.decode()
    assert "25 devices" in page
    assert set(PushDevice.objects.exclude(pk=other.pk).values_list("status", "quarantined_at")) == {(status, None)}
    other.refresh_from_db()
    assert other.quarantined_at is not None, "another lane is judged by itself"
    lane.refresh_from_db()
    assert lane.until is not None, "it is tried again"
    entry = LedgerEntry.objects.get()
    assert (entry.act, entry.item_count, entry.reason) == (f"{act}_quarantine", 25, "we had the wrong key")
    said = DeviceTransition.objects.filter(cause=f"{act}d", words="we had the wrong key")
    assert said.values("device").distinct().count() == 25
    again = client.post(address, {"reason": "again"}, follow=True).content.decode()
    assert "no device of this lane is in quarantine" in again
    assert LedgerEntry.objects.count() == 1


def test_a_lane_is_resumed(lane: Lane):
    client = client_of("operator")
    address = reverse("admin:notifications_lane_resume", args=[lane.pk])
    assert "bad key" in client.get(address).content.decode()
    client.post(address, {"reason": "new key set"})
    lane.refresh_from_db()
    assert lane.until is not None
    assert LedgerEntry.objects.get().act == "resume_lane"


def test_an_act_and_its_entry_are_one(one: PushDevice, lane: Lane, monkeypatch: pytest.MonkeyPatch):
    from queues.desk import ledger

    def full(**_given: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "record", full)
    actor, now = Actor.of(person("administrator")), timezone.now()
    for act in (staff.test, staff.unregister):
        with pytest.raises(OSError, match="full"):
            act(device=one, actor=actor, reason="x", now=now)
    with pytest.raises(OSError, match="full"):
        staff.resume(lane=lane, actor=actor, reason="x", now=now)
    one.refresh_from_db()
    lane.refresh_from_db()
    assert (one.status, lane.until, PushDelivery.objects.count()) == (DeviceStatus.ACTIVE, None, 0)


def test_the_domain_itself_asks_for_permission_and_reason(one: PushDevice):
    now = timezone.now()
    with pytest.raises(PermissionDenied):
        staff.test(device=one, actor=Actor.of(person("observer")), reason="x", now=now)
    with pytest.raises(ReasonMissing):
        staff.test(device=one, actor=Actor.of(person("operator")), reason=" ", now=now)


def test_addresses_and_contents_are_hidden_but_from_who_may_see_them(one: PushDevice, addresses: dict[str, str]):
    page = addresses["notifications_pushdevice_change"]
    assert one.address not in client_of("operator").get(page).content.decode()
    assert one.address in client_of("administrator").get(page).content.decode()
    delivery = addresses["notifications_pushdelivery_change"]
    assert "a secret word" not in client_of("operator").get(delivery).content.decode()
    shown = client_of("operator").post(addresses["notifications_pushdelivery_unmask"], follow=True).content.decode()
    assert "a secret word" in shown
    assert LedgerEntry.objects.get().act == "view payload"


@pytest.mark.parametrize("page", ["pushdelivery", "pushdevice", "installation", "lane"])
def test_a_list_costs_the_same_however_long_it_is(page: str):
    client = client_of("observer")
    address = reverse(f"admin:notifications_{page}_changelist")
    costs = []
    for _ in range(2):
        devices = many(15)
        push.notify(users=[each.installation.user_id for each in devices], title="Doors open")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(address).status_code == 200
        costs.append(len(queries))
    assert costs[1] <= costs[0] + 1


def test_empty_pages_say_so_and_hostile_numbers_are_not_there():
    client = client_of("administrator")
    for model in ("pushdelivery", "pushdevice", "installation", "lane"):
        assert client.get(reverse(f"admin:notifications_{model}_changelist")).status_code == 200
    for path in (
        "pushdevice/99999999999999999999/change/",
        "pushdevice/7/test/",
        "lane/7/resume/",
        "pushdelivery/7/change/",
    ):
        assert client.get(f"/admin/notifications/{path}").status_code == 404
    for query in (
        "device:x",
        "device:99999999999999999999",
        "campaign:spring",
        "00000000-0000-0000-0000-000000000000",
        "failed:dead*",
    ):
        assert client.get("/admin/notifications/pushdelivery/", {"q": query}).status_code in (200, 400)


def test_what_an_administrator_took_from_a_group_stays_taken():
    group = Group.objects.get(name="Operator")
    taken = Permission.objects.get(codename="test_device")
    assert taken in group.permissions.all()
    group.permissions.remove(taken)
    permissions.ensure(sender=None)  # type: ignore[arg-type]
    assert taken not in group.permissions.all()
    customer = User.objects.create_user("anna")
    customer.groups.add(Group.objects.get(name="Customer"))
    assert customer.has_perm("notifications.register_device")
    assert not customer.has_perm("notifications.add_pushdelivery")
