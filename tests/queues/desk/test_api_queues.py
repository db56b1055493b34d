"""`/api/v1/queues/…`: what the desk can do, for programs; who may, what is refused, the same acts as the pages."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from queues.desk import acts, permissions
from queues.desk.api import urls
from queues.desk.bulk import run
from queues.desk.bulk.operation import Operation
from queues.desk.ledger import LedgerEntry
from queues.email.models import EmailMessage, Suppression
from queues.engine.failure_groups import FailureGroup
from queues.engine.pauses import Pause
from queues.engine.states import Status
from tests.queues.desk.api_caller import Program, problem, user_with
from tests.queues.desk.people import client_of, mail

pytestmark = pytest.mark.django_db

BASE = "/api/v1/queues/"
EMAIL = f"{BASE}email/"
DEAD = {"status": "dead_letter"}
PATHS = {
    "api/v1/queues/": {"GET": 200},
    "api/v1/queues/<slug:queue>/items/": {"GET": 200},
    "api/v1/queues/<slug:queue>/acts/<slug:act>/plan/": {"POST": 400},
    "api/v1/queues/<slug:queue>/acts/<slug:act>/": {"POST": 400},
    "api/v1/queues/<slug:queue>/operations/": {"GET": 200, "POST": 400},
    "api/v1/queues/<slug:queue>/operations/<id:pk>/": {"GET": 200},
    "api/v1/queues/<slug:queue>/operations/<id:pk>/start/": {"POST": 400},
    "api/v1/queues/<slug:queue>/operations/<id:pk>/abort/": {"POST": 400},
    "api/v1/queues/<slug:queue>/operations/<id:pk>/undo/": {"POST": 404},
    "api/v1/queues/email/suppressions/": {"GET": 200, "POST": 400},
    "api/v1/queues/email/suppressions/<id:pk>/lift/": {"POST": 400},
    "api/v1/queues/ledger/": {"GET": 200},
    "api/v1/queues/<slug:queue>/items/<id:pk>/": {"GET": 200},
    "api/v1/queues/<slug:queue>/items/<id:pk>/payload/": {"POST": 400},
    "api/v1/queues/<slug:queue>/items/<id:pk>/edit/": {"POST": 400},
    "api/v1/queues/<slug:queue>/export/": {"POST": 400},
    "api/v1/queues/<slug:queue>/pause/": {"POST": 400},
    "api/v1/queues/<slug:queue>/resume/": {"POST": 400},
    "api/v1/queues/<slug:queue>/run/": {"POST": 400},
    "api/v1/queues/<slug:queue>/groups/": {"GET": 200},
    "api/v1/queues/<slug:queue>/groups/<id:pk>/<slug:verdict>/": {"POST": 400},
}
"""Address -> method -> what one who may everything gets for an empty body; any other method is 405."""


SEES = ("view_emailmessage", "view_suppression", "view_ledgerentry", "view_failuregroup")
MAY = ("add_suppression", "lift_suppression", "triage_failuregroup", "configure_emailmessage")


def operator() -> Program:
    return Program(*SEES, *MAY, *(f"{act}_emailmessage" for act in (*permissions.ITEM_ACTS,)))


def real(path: str) -> str:
    now = timezone.now()
    if "items/<id:pk>" in path:
        row: Any = mail()
    elif "suppressions" in path:
        row = Suppression.objects.create(address=f"{uuid.uuid4().hex}@example.com", cause="manual")
    elif "groups" in path:
        seen = dict.fromkeys(("first_seen_at", "last_seen_at", "changed_at"), now)
        row = FailureGroup.objects.create(queue="email", fingerprint=uuid.uuid4().hex[:16], code="x", **seen)
    else:
        row = Operation.objects.create(act="redrive", queue="email", words="all", actor_name="x", prepared_at=now)
    said = {"<slug:queue>": "email", "<slug:act>": "redrive", "<id:pk>": str(row.pk), "<slug:verdict>": "resolve"}
    for name, value in said.items():
        path = path.replace(name, value)
    return f"/{path}"


def ask(client: Client, method: str, path: str) -> Any:
    return client.generic(method, real(path), "{}" if method == "POST" else "", content_type="application/json")


def test_the_matrix_knows_every_address():
    assert {str(url.pattern) for url in urls.urlpatterns if str(url.pattern).startswith("api/v1/queues/")} == set(PATHS)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_who_gets_what(path: str, method: str):
    known = PATHS[path].get(method)
    assert ask(Client(), method, path).status_code == 401
    stranger = Program("view_attempt", "delete_emailmessage")
    assert ask(stranger.client, method, path).status_code == (403 if known else 405)
    assert ask(operator().client, method, path).status_code == (known or 405)


# An export is looking at a list: who may look at the queue may have it, and it is recorded.
@pytest.mark.parametrize("path", [path for path, how in PATHS.items() if "POST" in how and "export" not in path])
def test_who_may_only_look_changes_nothing_and_is_recorded(path: str):
    item = mail()
    observer = Program(*SEES)
    sealed = operator().post(f"{EMAIL}acts/redrive/plan/", {"ids": [item.pk]}).json()["plan"]
    address = real(path)
    Operation.objects.update(done=1)
    bodies: dict[str, Any] = {
        "plan": {"ids": [item.pk]},
        "redrive": {"plan": sealed, "reason": "x"},
        "operations": {"ids": [item.pk], "act": "redrive"},
        "start": {"reason": "x", "pace": 60},
        "abort": {"reason": "x"},
        "undo": {},
        **{name: {"reason": "x"} for name in ("payload", "pause", "resume", "run", "lift", "resolve")},
        "edit": {"reason": "x", "version": 0, "changes": {"subject": "other"}},
        "suppressions": {"reason": "x", "address": "new@example.com"},
    }
    Operation.objects.update(actor=observer.user)
    response = observer.post(address, bodies[address.rstrip("/").rpartition("/")[2]])
    assert problem(response)["code"] == "permission_denied"
    assert LedgerEntry.objects.get().act.startswith("refused ")
    assert not EmailMessage.objects.filter(version__gt=0).exists()
    assert not Pause.objects.exists()
    assert set(Operation.objects.values_list("state", flat=True)) <= {"prepared"}
    assert not Suppression.objects.filter(lifted_at__isnull=False).exists()


def test_queues_say_how_they_stand_and_what_the_caller_may():
    mail(), mail(Status.PENDING)
    (email,) = [queue for queue in operator().get(BASE).json()["results"] if queue["name"] == "email"]
    assert (email["waiting"], email["dead_letters"], email["paused"]) == ("1", "1", [])
    assert email["acts"] == list(acts.ACTS)
    (email,) = Program("view_emailmessage").get(BASE).json()["results"]
    assert email["acts"] == []


def test_items_come_in_pages():
    items = [mail() for _ in range(60)]
    first = operator().get(f"{EMAIL}items/").json()
    assert [item["id"] for item in first["results"]] == [item.pk for item in items[:9:-1]]
    second = operator().get(f"{EMAIL}items/", {"before": first["before"]}).json()
    assert [item["id"] for item in second["results"]] == [item.pk for item in items[9::-1]]
    assert second["before"] is None


@pytest.mark.parametrize("query", [{"before": "x"}, {"before": "9" * 30}, {"status": "lost"}, {"filter": "nosuch:1"}])
def test_a_wrong_question_is_answered_so(query: dict[str, str]):
    answer = problem(operator().get(f"{EMAIL}items/", query))
    assert (answer["status"], list(answer["errors"])) == (400, list(query))


def test_a_plan_is_carried_out_exactly():
    dead, program = mail(), operator()
    planned = program.post(f"{EMAIL}acts/redrive/plan/", DEAD).json()
    assert (planned["count"], planned["more"]) == (1, False)
    mail()
    done = program.post(f"{EMAIL}acts/redrive/", {"plan": planned["plan"], "reason": "repaired"}).json()
    assert (done["done"], done["left"]) == (1, {})
    dead.refresh_from_db()
    assert dead.status == Status.PENDING
    assert LedgerEntry.objects.get(pk=done["ledger_entry"]).reason == "repaired"
    again = program.post(f"{EMAIL}acts/redrive/", {"plan": planned["plan"], "reason": "repaired"}).json()
    assert (again["done"], again["ledger_entry"]) == (0, None)


def test_a_plan_of_somebody_else_is_stale():
    mail()
    plan = operator().post(f"{EMAIL}acts/redrive/plan/", DEAD).json()["plan"]
    response = operator().post(f"{EMAIL}acts/redrive/", {"plan": plan, "reason": "x"})
    assert (problem(response)["code"], response.status_code) == ("stale", 409)


def test_what_an_act_must_be_told():
    item, program = mail(Status.PENDING), operator()
    plan = program.post(f"{EMAIL}acts/snooze/plan/", {"ids": [item.pk]}).json()["plan"]
    body = {"plan": plan, "reason": "x"}
    assert "given.hours" in problem(program.post(f"{EMAIL}acts/snooze/", body))["errors"]
    assert program.post(f"{EMAIL}acts/snooze/", body | {"given": {"hours": 2}}).json()["done"] == 1


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": [0]}, {"filter": ""}, {"status": "x"}, {"all": True}])
def test_there_is_no_act_on_everything(body: dict[str, Any]):
    assert operator().post(f"{EMAIL}acts/redrive/plan/", body).status_code == 400


def test_an_operation_from_its_beginning_to_its_undoing():
    [mail() for _ in range(3)]
    program = operator()
    made = program.post(f"{EMAIL}operations/", DEAD | {"act": "redrive"})
    assert made.status_code == 201
    address = made["Location"].removeprefix("http://testserver")
    assert program.get(address).json() == made.json() | {"state": "prepared", "planned": 3}
    body = {"reason": "repaired", "pace": 6000, "canary": False}
    assert program.post(f"{address}start/", body).json()["state"] == "running"
    assert problem(program.post(f"{address}start/", body))["code"] == "stale"
    run.step(operation_id=made.json()["id"], now=timezone.now())
    aborted = program.post(f"{address}abort/", {"reason": "enough"}).json()
    assert (aborted["state"], aborted["done"]) == ("aborted", 3)
    undo = program.post(f"{address}undo/", {})
    assert (undo.status_code, undo.json()["planned"], undo.json()["undoes"]) == (201, 3, made.json()["id"])


def test_an_operation_of_another_queue_is_not_there():
    operation = Operation.objects.create(
        act="redrive", queue="webhook", words="all", actor_name="x", prepared_at=timezone.now()
    )
    assert operator().get(f"{EMAIL}operations/{operation.pk}/").status_code == 404
    assert operator().get(f"{BASE}nothing/operations/{operation.pk}/").status_code == 404


def test_a_session_needs_its_csrf_token():
    client = Client(enforce_csrf_checks=True)
    client.force_login(user_with("view_emailmessage", "redrive_emailmessage"))
    body = json.dumps(DEAD)
    response = client.post(f"{EMAIL}acts/redrive/plan/", body, content_type="application/json")
    assert response.status_code == 403


@pytest.mark.parametrize("act", acts.ACTS)
def test_pages_and_api_find_the_same(act: str):
    for status in Status.values:
        mail(status)
    mail(hidden_at=timezone.now())
    query = {"purged": "1"} if act == "restore" else {"kind": "receipt"}
    page = client_of("operator").get(f"/admin/queues/emailmessage/act/{act}/", query)
    body: dict[str, Any] = {"purged": True} if act == "restore" else {"filter": "type:receipt"}
    planned = operator().post(f"{EMAIL}acts/{act}/plan/", body).json()
    shown = (page.context_data or {})["plan"]
    assert shown.count > 0
    assert (planned["count"], planned["left"]) == (shown.count, dict(shown.left))
    assert EmailMessage.objects.filter(version__gt=0).count() == 0
