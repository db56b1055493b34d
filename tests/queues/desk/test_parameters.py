"""Acts that are told something: snooze, reschedule, prioritize; as a function, as a page, as an operation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from queues.desk import acts, operations, parameters, plans
from queues.desk.bulk import freeze, run
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.email.models import EmailMessage
from queues.engine.states import Priority, Status
from tests.queues.desk.people import client_of, mail

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def do(act: str, item: EmailMessage, given: dict[str, Any]) -> operations.Result:
    selection, actor = Selection(ids=(item.pk,)), Actor.shell()
    return operations.act_on(act=act, queue="email", selection=selection, actor=actor, reason="x", now=NOW, given=given)


@pytest.mark.parametrize(
    ("act", "given", "due"),
    [
        ("snooze", {"hours": "4"}, NOW + timedelta(hours=4)),
        ("reschedule", {"at": "2026-03-02 09:30"}, datetime(2026, 3, 2, 9, 30, tzinfo=UTC)),
        ("reschedule", {"at": "2026-03-02T09:30+02:00"}, datetime(2026, 3, 2, 7, 30, tzinfo=UTC)),
        ("reschedule", {"at": "2020-01-01 00:00"}, NOW),
    ],
)
@pytest.mark.parametrize("status", [Status.PENDING, Status.RETRYING])
def test_when_it_runs(status: str, act: str, given: dict[str, Any], due: datetime):
    item = mail(status, waits_for="rate:email", attempts=2)
    assert do(act, item, given).done == 1
    item.refresh_from_db()
    assert (item.status, item.due_at, item.waits_for, item.attempts, item.version) == (status, due, "", 2, 1)


@pytest.mark.parametrize("status", [Status.PENDING, Status.RETRYING, Status.DEAD_LETTER])
def test_what_is_taken_first(status: str):
    item = mail(status)
    result = do("prioritize", item, {"priority": "urgent"})
    item.refresh_from_db()
    assert (item.priority, item.status) == (Priority.URGENT, status)
    assert LedgerEntry.objects.get(pk=result.entry_id).result["given"] == {"priority": "urgent"}


@pytest.mark.parametrize("act", ["snooze", "reschedule", "prioritize"])
@pytest.mark.parametrize("status", [Status.PROCESSING, Status.SUCCEEDED, Status.CANCELLED])
def test_what_does_not_wait_is_left_alone(act: str, status: str):
    given = {"snooze": {"hours": 1}, "reschedule": {"at": "2026-03-02"}, "prioritize": {"priority": "low"}}[act]
    if act == "reschedule":
        given = {"at": NOW}
    item = mail(status)
    assert do(act, item, given).left == {acts.BEING[status]: 1}
    item.refresh_from_db()
    assert item.version == 0


@pytest.mark.parametrize(
    ("act", "given"),
    [
        ("snooze", {}),
        ("snooze", {"hours": ""}),
        ("snooze", {"hours": "0"}),
        ("snooze", {"hours": "-1"}),
        ("snooze", {"hours": "1.5"}),
        ("snooze", {"hours": "9" * 30}),
        ("snooze", {"hours": "1", "at": "2026-03-02 09:30"}),
        ("reschedule", {"at": "tomorrow"}),
        ("reschedule", {"at": "9999-12-31 23:59"}),
        ("reschedule", {"at": "2026-13-01 00:00"}),
        ("prioritize", {"priority": "7"}),
        ("redrive", {"hours": "1"}),
    ],
)
def test_what_means_nothing_is_refused(act: str, given: dict[str, Any]):
    item = mail(Status.DEAD_LETTER if act == "redrive" else Status.PENDING)
    with pytest.raises(parameters.Wrong):
        do(act, item, given)
    item.refresh_from_db()
    assert item.version == 0
    assert not LedgerEntry.objects.exists()


def test_on_its_page():
    item, client = mail(Status.RETRYING), client_of("operator")
    address = f"/admin/queues/emailmessage/act/snooze/?id={item.pk}"
    shown = client.get(address)
    assert 'name="hours"' in shown.content.decode()
    sealed = plans.seal((shown.context_data or {})["plan"], for_user=shown.wsgi_request.user.pk)
    wrong = client.post(address, {"plan": sealed, "reason": "x", "hours": "0"})
    assert wrong.status_code == 400
    assert "Give a whole number of hours" in wrong.content.decode()
    assert client.post(address, {"plan": sealed, "reason": "x", "hours": "3"}).status_code == 302
    item.refresh_from_db()
    assert item.due_at > timezone.now() + timedelta(hours=2)


def test_as_an_operation_that_is_undone():
    items = [mail(Status.PENDING, due_at=NOW), mail(Status.RETRYING, due_at=NOW)]
    actor = Actor.shell()
    operation = freeze.prepare(act="snooze", queue="email", selection=Selection(status="waiting"), actor=actor, now=NOW)
    said: dict[str, Any] = {"actor": actor, "reason": "x", "pace": 6000, "canary": False, "now": NOW}
    with pytest.raises(parameters.Wrong):
        run.start(operation_id=operation.pk, **said)
    run.start(operation_id=operation.pk, **said, given={"hours": 2})
    run.step(operation_id=operation.pk, now=NOW)
    assert set(EmailMessage.objects.values_list("due_at", flat=True)) == {NOW + timedelta(hours=2)}
    undo = freeze.prepare_undo(operation_id=operation.pk, actor=actor, now=NOW)
    run.start(operation_id=undo.pk, **said)
    run.step(operation_id=undo.pk, now=NOW)
    assert set(EmailMessage.objects.values_list("due_at", flat=True)) == {NOW}
    assert len(items) == 2
