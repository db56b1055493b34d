"""What open pages ask again: only what their person may see, in few statements, as it is now."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queues.desk import overview
from queues.engine import registry
from queues.engine.pauses import Pause
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail
from tests.queues.desk.test_big_table import asked

pytestmark = pytest.mark.django_db

START, ROWS = "/admin/live/", "/admin/queues/emailmessage/live/"


@pytest.mark.parametrize(
    ("who", "status"), [("anonymous", 302), ("customer", 302), ("observer", 200), ("operator", 200)]
)
def test_who_may_ask(who: str, status: int):
    mail()
    client = client_of(who)
    for address in (START, ROWS):
        assert client.get(address).status_code == status
        assert client.post(address).status_code in (302, 405)


def test_who_may_see_no_queue_sees_none():
    mail()
    client = client_of("helper")
    assert b"dead letters" not in client.get(START).content
    assert client.get(ROWS).status_code in (302, 403)


def test_the_start_page_s_numbers_are_those_of_now():
    client = client_of("operator")
    mail(), mail(Status.RETRYING)
    Pause.objects.create(queue="email", kind="newsletter", reason="incident", paused_at=timezone.now())
    page = client.get(START).content.decode()
    assert 'data-live="queue-email"' in page
    assert '<span class="desk-figure">1</span> dead letters' in page
    assert "Type newsletter" in page
    assert "<html" not in page, "only the part that lives"


def test_many_open_pages_cost_what_one_does():
    client = client_of("operator")
    client.get(START)
    with CaptureQueriesContext(connection) as queries:
        client.get(START)
    assert [query["sql"] for query in queries if "queues_" in query["sql"]] == []


def test_a_list_hears_of_its_rows_and_of_newer_ones():
    client = client_of("operator")
    item = mail()
    first = client.get(ROWS, {"ids": f"{item.pk},999999,x", "top": item.pk, "status": "dead_letter"}).json()
    assert "Dead letter" in first["rows"][str(item.pk)]["badge"]
    assert (first["gone"], first["newer"]) == ([999999], "")
    type(item).objects.update(status=Status.PENDING)
    mail(), mail()
    then = client.get(ROWS, {"ids": item.pk, "top": item.pk, "status": "dead_letter"}).json()
    assert "Pending" in then["rows"][str(item.pk)]["badge"]
    assert then["newer"] == "2"


@pytest.mark.parametrize(
    "query", ["ids=%00&top=x", "ids=" + "9," * 500, "top=" + "9" * 40, "q=nosuch:1&top=1", "q=%00"]
)
def test_hostile_questions_get_an_answer(query: str):
    mail()
    assert client_of("operator").get(f"{ROWS}?{query}").status_code == 200


def test_it_asks_little():
    client = client_of("operator")
    items = [mail() for _ in range(5)]
    ids = ",".join(str(item.pk) for item in items)
    assert len(asked(client, f"{ROWS}?ids={ids}&top={items[-1].pk}")) <= 3


def test_the_start_page_asks_as_much_for_one_queue_as_for_all():
    client = client_of("operator")
    mail()
    assert len(asked(client, "/admin/")) <= 12
    assert len(registry.all_queues()) >= 3
    with CaptureQueriesContext(connection) as queries:
        overview.figures(registry.all_queues(), now=timezone.now())
    assert len([query for query in queries if "SELECT" in query["sql"] and "queues_" in query["sql"]]) == 2


def test_a_list_carries_what_its_module_needs():
    item = mail()
    page: Any = client_of("operator").get("/admin/queues/emailmessage/").content.decode()
    assert f'data-item="{item.pk}"' in page
    assert f'data-live-url="{ROWS}" data-top="{item.pk}"' in page
