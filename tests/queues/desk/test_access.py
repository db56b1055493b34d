"""Who gets what of the admin: every address of it, for every kind of person, by GET and by POST; deny by default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver

from queues.desk import acts, permissions, plans
from queues.desk.bulk.operation import Operation
from queues.desk.ledger import LedgerEntry
from queues.desk.selection import Selection
from queues.email.models import EmailMessage, Suppression
from queues.engine.breaker import Breaker
from queues.engine.failure_groups import FailureGroup
from queues.engine.heartbeats import Heartbeat
from queues.engine.limiter import RateCounter
from queues.engine.pauses import Pause
from queues.engine.states import Status
from queues.monitor.models import Alert, AlertDelivery, Silence
from queues.webhooks.models import WebhookEvent
from tests.queues.desk.people import client_of, mail, person

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NOBODY, ADMINISTRATORS = frozenset[str](), frozenset({"administrator"})
OPERATORS = ADMINISTRATORS | {"operator"}
STAFF = OPERATORS | {"observer"}
PEOPLE = ("anonymous", "customer", *sorted(STAFF))

DESK = {
    "queues_emailmessage_changelist": STAFF,
    "queues_emailmessage_change": STAFF,
    "queues_emailmessage_preview": NOBODY,  # without having asked for it by a POST: test_privacy.py
    "queues_emailmessage_edit": OPERATORS,
    **{f"queues_{model}_{page}": STAFF for model in ("emailmessage", "webhookevent") for page in ("unmask", "live")},
    "queues_emailmessage_act": OPERATORS,
    "queues_emailmessage_export": STAFF,
    **{f"queues_webhookevent_{page}": STAFF for page in ("changelist", "change", "export")},
    "queues_webhookevent_act": OPERATORS,
    "queues_suppression_changelist": STAFF,
    "queues_suppression_change": STAFF,
    "queues_suppression_suppress": OPERATORS,
    "queues_suppression_lift": OPERATORS,
    "queues_operation_changelist": STAFF,
    **{f"queues_operation_{page}": STAFF for page in ("change", "start", "abort", "undo")},  # a GET shows its page
    "queues_failuregroup_changelist": STAFF,
    "queues_failuregroup_change": STAFF,
    "queues_failuregroup_say": OPERATORS,
    **{f"queues_alert_{page}": STAFF for page in ("changelist", "change")},
    **{f"queues_alert_{page}": OPERATORS for page in ("acknowledge", "silence")},
    "queues_silence_end": OPERATORS,
    "queues_pause_changelist": STAFF,
    "queues_pause_change": STAFF,
    "queues_pause_pause": OPERATORS,
    "queues_pause_resume": OPERATORS,
    **{
        f"queues_{model}_{page}": STAFF
        for model in ("ratecounter", "breaker", "heartbeat", "ledgerentry", "silence", "alertdelivery")
        for page in ("changelist", "change")
    },
}
"""Who may GET each address of the desk. What is not here or in `CLOSED` fails the test: a new page needs an entry."""
CLOSED = re.compile(
    r"queues_(suppression|pause|operation|ratecounter|breaker|heartbeat|ledgerentry|silence|alertdelivery)_"
    r"(add|delete|history)"
)
OTHERS = re.compile(
    r"auth_|django_q_|notifications_|payments_|analytics_|queues_apitoken|index|log(in|out)|password|autoc|jsi18n|search|view_|app_list"
)
"""Pages of Django, of the clock, of API tokens, of push, payments and analytics, tested with their own permissions."""


def names() -> Iterator[str]:
    """The names of all addresses under /admin/."""

    def walk(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns)
            elif pattern.name:
                yield pattern.name

    yield from sorted(set(walk(admin.site.get_urls())))


@pytest.fixture
def addresses() -> dict[str, str]:
    """One real address for each name of the desk."""
    item = mail(Status.DEAD_LETTER)
    event = WebhookEvent.objects.create(idempotency_key="stripe:evt_1", event_id="evt_1", occurred_at=item.created_at)
    Suppression.objects.create(address="a@example.com", cause="manual")
    rows = {
        "emailmessage": item.pk,
        "webhookevent": event.pk,
        "suppression": Suppression.objects.get().pk,
        "operation": Operation.objects.create(
            act="redrive", queue="email", words="all", actor_name="x", prepared_at=item.created_at
        ).pk,
        "pause": Pause.objects.create(queue="email", reason="x", paused_at=item.created_at).pk,
        "ratecounter": RateCounter.objects.create(key="email", used_at=item.created_at, limit=5, window_seconds=60).pk,
        "breaker": Breaker.objects.create(name="smtp", changed_at=item.created_at).pk,
        "heartbeat": Heartbeat.objects.create(name="cluster:x", seen_at=item.created_at).pk,
        "ledgerentry": LedgerEntry.objects.create(
            at=item.created_at, actor_name="x", act="x", reason="x", previous="p", digest="d"
        ).pk,
    }
    now = item.created_at
    alert = Alert.objects.create(rule="x", severity="page", state="firing", pending_at=now, evaluated_at=now)
    rows["silence"] = Silence.objects.create(reason="x", created_at=now, until=now + timedelta(days=1)).pk
    rows["alertdelivery"] = AlertDelivery.objects.create(key="x", kind="test", channel="mail", created_at=now).pk
    special = {
        "queues_emailmessage_edit": f"/admin/queues/emailmessage/{item.pk}/edit/",
        "queues_emailmessage_unmask": f"/admin/queues/emailmessage/{item.pk}/unmask/",
        "queues_webhookevent_unmask": f"/admin/queues/webhookevent/{event.pk}/unmask/",
        "queues_emailmessage_live": f"/admin/queues/emailmessage/live/?ids={item.pk}&top={item.pk}",
        "queues_webhookevent_live": "/admin/queues/webhookevent/live/",
        **{f"queues_alert_{act}": f"/admin/queues/alert/{alert.pk}/{act}/" for act in ("acknowledge", "silence")},
        "queues_alert_change": f"/admin/queues/alert/{alert.pk}/change/",
        "queues_alert_changelist": "/admin/queues/alert/",
        "queues_silence_end": f"/admin/queues/silence/{rows['silence']}/end/",
        "queues_emailmessage_act": f"/admin/queues/emailmessage/act/redrive/?id={item.pk}",
        "queues_emailmessage_export": "/admin/queues/emailmessage/export/",
        "queues_webhookevent_act": f"/admin/queues/webhookevent/act/redrive/?id={event.pk}",
        "queues_webhookevent_export": "/admin/queues/webhookevent/export/",
        "queues_emailmessage_preview": f"/admin/queues/emailmessage/{item.pk}/preview/",
        "queues_suppression_suppress": "/admin/queues/suppression/suppress/",
        "queues_suppression_lift": f"/admin/queues/suppression/{rows['suppression']}/lift/",
        "queues_pause_pause": "/admin/queues/pause/email/pause/",
        "queues_pause_resume": "/admin/queues/pause/email/resume/",
    }
    for verb in ("start", "abort", "undo"):
        special[f"queues_operation_{verb}"] = f"/admin/queues/operation/{rows['operation']}/{verb}/"
    group = rows["failuregroup"] = FailureGroup.objects.create(
        queue="email",
        fingerprint="0" * 16,
        code="timeout",
        **dict.fromkeys(("first_seen_at", "last_seen_at", "changed_at"), item.created_at),
    ).pk
    special["queues_failuregroup_say"] = f"/admin/queues/failuregroup/{group}/resolve/"
    for model, pk in rows.items():
        special[f"queues_{model}_changelist"] = f"/admin/queues/{model}/"
        special[f"queues_{model}_change"] = f"/admin/queues/{model}/{pk}/change/"
        special[f"queues_{model}_add"] = f"/admin/queues/{model}/add/"
        special[f"queues_{model}_delete"] = f"/admin/queues/{model}/{pk}/delete/"
    return special


def test_every_address_of_the_admin_has_its_entry():
    unknown = [name for name in names() if name not in DESK and not CLOSED.fullmatch(name)]
    assert [name for name in unknown if not OTHERS.match(name)] == []


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize(
    "table", ["auth/user", "auth/group", *(f"django_q/{name}" for name in ("schedule", "success", "failure", "ormq"))]
)
def test_accounts_and_the_clock_are_the_administrators(who: str, table: str):
    status = client_of(who).get(f"/admin/{table}/").status_code
    assert status == (200 if who in ADMINISTRATORS else 403 if who in STAFF else 302)


@pytest.mark.parametrize("who", PEOPLE)
def test_who_may_look(who: str, addresses: dict[str, str]):
    client = client_of(who)
    for name, allowed in DESK.items():
        response = client.get(addresses[name])
        expected = 200 if who in allowed else 403 if who in STAFF else 302
        assert response.status_code == expected, (who, name)
        if expected == 302:
            assert response["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("who", PEOPLE)
def test_nothing_is_added_edited_or_deleted_by_anyone(who: str, addresses: dict[str, str]):
    client = client_of(who)
    for name, address in addresses.items():
        if name.endswith(("_add", "_delete", "_change")):
            response = client.post(address, {"status": "pending", "address": "x@example.com", "post": "yes"})
            # A mail has no such page at all: 404, and its own page only knows GET.
            assert response.status_code in ({403, 404, 405} if who in STAFF else {302, 404}), (who, name)
    assert EmailMessage.objects.get().status == Status.DEAD_LETTER
    assert Suppression.objects.count() == 1


@pytest.mark.parametrize("act", [*acts.ACTS])
@pytest.mark.parametrize("who", PEOPLE)
def test_who_may_act(who: str, act: str):
    states = dict.fromkeys(("replay", "restore"), Status.SUCCEEDED)
    states |= dict.fromkeys(("snooze", "reschedule"), Status.PENDING)
    item = mail(states.get(act, Status.DEAD_LETTER))
    if act == "restore":
        EmailMessage.objects.filter(pk=item.pk).update(hidden_at=item.created_at)
    client = client_of(who)
    user = User.objects.filter(username=who).first()
    plan = plans.make(act=acts.get(act), queue="email", selection=Selection(ids=(item.pk,)), now=item.created_at)
    form = {"reason": "because", "plan": plans.seal(plan, for_user=user.pk if user else None)}
    form |= {"hours": "1", "at": "2030-01-01 00:00", "priority": "low"}
    response = client.post(f"/admin/queues/emailmessage/act/{act}/", form)
    item.refresh_from_db()
    assert response.status_code == (302 if who not in STAFF or who in OPERATORS else 403)
    assert item.version == int(who in OPERATORS)
    acted = [act] if who in OPERATORS else [f"refused {act}"] if who in STAFF else []
    assert list(LedgerEntry.objects.values_list("act", flat=True)) == acted, "a refused attempt is recorded too"


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("name", ["suppress", "lift", "pause", "resume"])
def test_who_may_suppress_lift_pause_and_resume(who: str, name: str, addresses: dict[str, str]):
    model = "suppression" if name in ("suppress", "lift") else "pause"
    if name == "pause":
        Pause.objects.all().delete()
    form = {"reason": "because", "address": "new@example.com", "scope": "all", "hours": "0"}
    response = client_of(who).post(addresses[f"queues_{model}_{name}"], form)
    assert response.status_code == (302 if who not in STAFF or who in OPERATORS else 403)
    assert LedgerEntry.objects.filter(act=name).exists() == (who in OPERATORS)
    refused = who in STAFF and who not in OPERATORS
    assert LedgerEntry.objects.filter(act=f"refused {name}").exists() == refused


def test_one_permission_is_one_act():
    user = User.objects.create_user("helper", is_staff=True)
    for codename in ("view_emailmessage", "redrive_emailmessage"):
        user.user_permissions.add(Permission.objects.get(codename=codename))
    person("administrator")
    client = client_of("helper")
    item = mail()
    page = client.get(f"/admin/queues/emailmessage/{item.pk}/change/").content.decode()
    assert "/act/redrive/" in page
    assert "/act/purge/" not in page
    assert client.get("/admin/queues/emailmessage/act/redrive/?status=dead_letter").status_code == 200
    assert client.get("/admin/queues/emailmessage/act/purge/").status_code == 403


def test_an_account_that_was_closed_may_nothing():
    client = client_of("operator")
    User.objects.filter(username="operator").update(is_active=False)
    assert client.get("/admin/queues/emailmessage/").status_code == 302


def test_acting_without_looking_is_not_allowed():
    user = User.objects.create_user("blind", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="redrive_emailmessage"))
    assert client_of("blind").get("/admin/queues/emailmessage/act/redrive/").status_code == 403


@pytest.mark.parametrize("who", ["administrator", "operator", "observer"])
def test_no_get_writes_anything(who: str, addresses: dict[str, str]):
    client = client_of(who)
    client.get("/admin/")
    tempting = "reason=because&plan=x&confirm=1&post=yes&action=redrive&_selected_action=1&index=0"
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for address in [*addresses.values(), "/admin/"]:
            client.get(address + ("&" if "?" in address else "?") + tempting)
            client.get(address)
    writes = [query["sql"] for query in queries if re.match(r"\s*(INSERT|UPDATE|DELETE)", query["sql"])]
    assert [sql for sql in writes if "django_session" not in sql] == []


def test_csrf_is_asked_for_every_act(addresses: dict[str, str]):
    client = client_of("administrator")
    client.handler.enforce_csrf_checks = True
    for name in ("queues_emailmessage_act", "queues_suppression_lift", "queues_pause_pause"):
        assert client.post(addresses[name], {"reason": "because"}).status_code == 403


class TestGroups:
    def test_they_come_with_the_migration(self):
        operator, observer = Group.objects.get(name="Operator"), Group.objects.get(name="Observer")
        may = set(operator.permissions.values_list("codename", flat=True))
        assert {f"{act}_emailmessage" for act in permissions.ITEM_ACTS} | {"lift_suppression", "add_suppression"} <= may
        looks = set(observer.permissions.values_list("codename", flat=True))
        assert {codename for codename in looks if not codename.startswith(("view_", "watch_"))} == set()
        assert {"view_emailmessage", "view_ledgerentry", "view_suppression"} <= looks
        assert "view_payload_emailmessage" in may - looks, "what an item carries is a right of its own"

    def test_the_three_of_them_are_steps(self):
        def may(name: str) -> set[str]:
            ours = Permission.objects.filter(content_type__app_label__in=["queues", "django_q"])
            return set(ours.filter(group__name=name).values_list("codename", flat=True))

        observer, operator, administrator = may("Observer"), may("Operator"), may("Administrator")
        assert observer < operator < administrator
        assert "configure_emailmessage" in administrator - operator
        assert {"change_schedule", "add_apitoken"} <= administrator - operator

    def test_what_an_administrator_took_stays_taken(self):
        operator = Group.objects.get(name="Operator")
        operator.permissions.remove(Permission.objects.get(codename="purge_emailmessage"))
        permissions.ensure(sender=None)  # type: ignore[arg-type]
        assert not operator.permissions.filter(codename="purge_emailmessage").exists()
