"""Running a schedule now: by whom, recorded, and its own times stay."""

from __future__ import annotations

import pytest
from django_q.models import OrmQ, Schedule

from queues.desk.ledger import LedgerEntry
from queues.engine.recurring import PREFIX
from tests.queues.desk.people import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def schedule() -> Schedule:
    return Schedule.objects.get(name=f"{PREFIX}drain email")


def address(schedule: Schedule) -> str:
    return f"/admin/django_q/schedule/{schedule.pk}/run/"


def test_it_goes_to_the_workers_once(schedule: Schedule, django_capture_on_commit_callbacks):
    before, client = schedule.next_run, client_of("administrator")
    assert "Run it now" in client.get(address(schedule)).content.decode()
    assert OrmQ.objects.count() == 0
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(address(schedule), {"reason": "test mail"}).status_code == 302
    task = OrmQ.objects.get().task
    assert (task["func"], task["args"]) == ("queues.tasks.drain", ("email",))
    schedule.refresh_from_db()
    assert schedule.next_run == before
    entry = LedgerEntry.objects.get()
    assert (entry.act, entry.plan, entry.reason) == ("run schedule", schedule.name, "test mail")


def test_one_with_a_time_limit_keeps_it(django_capture_on_commit_callbacks):
    schedule = Schedule.objects.get(name=f"{PREFIX}remove old mail")
    with django_capture_on_commit_callbacks(execute=True):
        client_of("administrator").post(address(schedule), {"reason": "disk full"})
    assert OrmQ.objects.get().task["timeout"] == 30 * 60


@pytest.mark.parametrize("who", ["anonymous", "customer", "observer", "operator"])
def test_only_administrators(schedule: Schedule, who: str, django_capture_on_commit_callbacks):
    client = client_of(who)
    with django_capture_on_commit_callbacks(execute=True):
        status = client.post(address(schedule), {"reason": "x"}).status_code
    assert status == (403 if who in ("observer", "operator") else 302)
    assert OrmQ.objects.count() == 0
    acts = list(LedgerEntry.objects.values_list("act", flat=True))
    assert acts == (["refused run schedule"] if who in ("observer", "operator") else [])


def test_not_without_a_reason_and_not_one_that_is_not_there(schedule: Schedule):
    client = client_of("administrator")
    assert client.post(address(schedule), {"reason": " "}).status_code == 400
    assert client.get("/admin/django_q/schedule/999999999999999999999/run/").status_code == 404
