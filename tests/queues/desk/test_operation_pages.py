"""The pages of operations: prepared from the preview of an act, started, watched, aborted, undone; by whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from queues.desk import plans
from queues.desk.bulk import freeze, run
from queues.desk.bulk.operation import Operation
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.email.models import EmailMessage
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail, person

pytestmark = pytest.mark.django_db

ACT = "/admin/queues/emailmessage/act/redrive/"
BASE = "/admin/queues/operation/"
State = Operation.State


def prepared(client: Client, query: str = "status=dead_letter") -> Operation:
    response = client.post(f"{ACT}?{query}", {"prepare": "1"})
    operation = Operation.objects.latest("pk")
    assert response["Location"] == f"{BASE}{operation.pk}/change/"
    return operation


def start(client: Client, operation: Operation, **changes: Any) -> Any:
    said = {"reason": "repaired", "pace": "60000", "canary": ""} | changes
    return client.post(f"{BASE}{operation.pk}/start/", {name: value for name, value in said.items() if value})


def run_out(operation: Operation) -> None:
    now = timezone.now()
    while run.step(operation_id=operation.pk, now=now):
        now += timedelta(seconds=5)


def page(client: Client, operation: Operation) -> str:
    response = client.get(f"{BASE}{operation.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def test_from_the_preview_to_the_result_and_back():
    mail(), mail(), mail(Status.SUCCEEDED)
    client = client_of("operator")
    assert "as an operation" in client.get(f"{ACT}?status=dead_letter").content.decode()
    operation = prepared(client)
    shown = page(client, operation)
    assert '<span class="desk-number">2</span> will be redriven' in shown
    assert "Start: redrive 2" in shown
    assert EmailMessage.objects.filter(status=Status.PENDING).count() == 0

    assert start(client, operation).status_code == 302
    assert "Abort it here" in page(client, operation)
    run_out(operation)
    shown = page(client, operation)
    assert "Finished" in shown
    assert "Undo …" in shown
    assert f"entry {LedgerEntry.objects.get(act='redrive').pk}" in shown

    undo = client.post(f"{BASE}{operation.pk}/undo/")
    back = Operation.objects.latest("pk")
    assert undo["Location"] == f"{BASE}{back.pk}/change/"
    assert '<span class="desk-number">2</span> will be put back' in page(client, back)
    start(client, back)
    run_out(back)
    assert "Finished" in page(client, back)
    assert EmailMessage.objects.filter(status=Status.DEAD_LETTER).count() == 2
    assert list(LedgerEntry.objects.order_by("pk").values_list("act", flat=True)) == [
        "redrive",
        "redrive ended",
        "undo",
        "undo ended",
    ]


def test_everything_that_matches_is_more_than_one_act_holds(monkeypatch):
    monkeypatch.setattr(plans, "AT_ONCE", 2)
    [mail() for _ in range(5)]
    client = client_of("operator")
    assert "everything that matches" in client.get(f"{ACT}?status=dead_letter").content.decode()
    assert prepared(client).planned == 5


def test_chosen_items_alone():
    chosen, _other = mail(), mail()
    assert prepared(client_of("operator"), f"id={chosen.pk}").planned == 1


def test_there_is_no_operation_on_everything():
    mail()
    response = client_of("operator").post(ACT, {"prepare": "1"})
    assert response["Location"] == "/admin/queues/emailmessage/"
    assert not Operation.objects.exists()


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"pace": "0"}, {"pace": "x"}, {"pace": "60001"}])
def test_a_form_that_is_wrong_starts_nothing(wrong: dict[str, str]):
    mail()
    client = client_of("operator")
    operation = prepared(client)
    assert start(client, operation, **wrong).status_code == 400
    operation.refresh_from_db()
    assert operation.state == State.PREPARED


def test_it_is_started_once():
    mail()
    client = client_of("operator")
    operation = prepared(client)
    start(client, operation), start(client, operation)
    assert LedgerEntry.objects.count() == 1
    assert "it was started before" in page(client, operation)


def test_an_old_one_cannot_be_started():
    mail()
    client = client_of("operator")
    operation = prepared(client)
    Operation.objects.update(prepared_at=timezone.now() - timedelta(hours=2))
    assert "Too old" in page(client, operation)
    start(client, operation)
    operation.refresh_from_db()
    assert operation.state == State.PREPARED


def test_somebody_else_may_look_but_not_start_it():
    mail()
    operation = prepared(client_of("operator"))
    other = client_of("administrator")
    assert "Only operator, who prepared it" in page(other, operation)
    start(other, operation)
    operation.refresh_from_db()
    assert operation.state == State.PREPARED


def test_a_halted_one_says_why():
    [mail() for _ in range(10)]
    client = client_of("operator")
    operation = prepared(client)
    start(client, operation, canary="on")
    now = timezone.now()
    while run.step(operation_id=operation.pk, now=now):
        now += timedelta(seconds=5)
        EmailMessage.objects.filter(status=Status.PENDING).update(status=Status.RETRYING, attempts=1)
    shown = page(client, operation)
    assert "Halted itself" in shown
    assert "The same cause came back" in shown


@pytest.mark.parametrize("verb", ["start", "abort", "undo"])
@pytest.mark.parametrize("who", ["anonymous", "customer", "observer", "operator", "administrator"])
def test_who_may_start_abort_and_undo(who: str, verb: str):
    mail(), mail()
    user = person(who) if who != "anonymous" else None
    actor = Actor.shell()
    operation = freeze.prepare(
        act="redrive", queue="email", selection=Selection(status="dead_letter"), actor=actor, now=timezone.now()
    )
    if verb != "start":
        said = {"reason": "x", "pace": 60, "canary": False, "now": timezone.now()}
        run.start(operation_id=operation.pk, actor=actor, **said)
        run.step(operation_id=operation.pk, now=timezone.now())
    if verb == "undo":
        run.abort(operation_id=operation.pk, actor=actor, reason="x", now=timezone.now())
    Operation.objects.filter(pk=operation.pk).update(actor=user)
    before, count = (
        list(Operation.objects.values_list("state", flat=True)),
        LedgerEntry.objects.exclude(act__startswith="refused").count(),
    )
    response = client_of(who).post(f"{BASE}{operation.pk}/{verb}/", {"reason": "because", "pace": "60"})
    acts = LedgerEntry.objects.exclude(act__startswith="refused").count()
    changed = list(Operation.objects.values_list("state", flat=True)) != before or acts != count
    if who in ("operator", "administrator"):
        assert response.status_code == 302
        assert changed
    else:
        assert response.status_code == (403 if who == "observer" else 302)
        assert not changed
        assert LedgerEntry.objects.filter(act=f"refused {verb} of redrive").exists() == (who == "observer")


@pytest.mark.parametrize("verb", ["start", "abort", "undo"])
def test_a_get_does_nothing(verb: str):
    mail()
    client = client_of("operator")
    operation = prepared(client)
    assert client.get(f"{BASE}{operation.pk}/{verb}/?reason=x&pace=60").status_code == 200
    operation.refresh_from_db()
    assert operation.state == State.PREPARED
    assert Operation.objects.count() == 1


def test_what_is_not_there():
    client = client_of("operator")
    for path in ("999/change/", "999999999999999999/change/", "99999999999999999999/change/", "x/change/"):
        assert client.get(BASE + path).status_code == 404


def test_an_act_done_at_once_on_several_is_undone_too():
    items = [mail(), mail(), mail()]
    client = client_of("operator")
    shown = client.get(f"{ACT}?status=dead_letter")
    sealed = plans.seal((shown.context_data or {})["plan"], for_user=shown.wsgi_request.user.pk)
    EmailMessage.objects.filter(pk=items[0].pk).update(version=5)
    told = client.post(ACT, {"plan": sealed, "reason": "repaired"}, follow=True).content.decode()
    operation = Operation.objects.get()
    assert f'href="{BASE}{operation.pk}/change/"' in told
    assert (operation.state, operation.done, operation.missed) == (State.FINISHED, 2, 1)
    assert "all at once" in page(client, operation)
    client.post(f"{BASE}{operation.pk}/undo/")
    back = Operation.objects.latest("pk")
    start(client, back)
    run_out(back)
    assert EmailMessage.objects.filter(status=Status.DEAD_LETTER, dead_at__isnull=False).count() == 3
