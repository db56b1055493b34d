"""Webhooks at the desk: found by event and object, shown with their payload and handlers, redriven and replayed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from queues.desk import operations
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor
from queues.desk.selection import Selection
from queues.webhooks import handlers
from queues.webhooks.models import WebhookEvent
from tests.queues.desk.people import client_of
from tests.queues.webhooks.conftest import DrainAt, On
from tests.queues.webhooks.deliveries import post, raw, snapshot, thin
from tests.samplequeue.models import Effect

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("secret")]

LIST = "/admin/queues/webhookevent/"


@pytest.fixture
def operator() -> Client:
    return client_of("operator")


def text(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return str(response.content.decode())


def unmasked(operator: Client, pk: int) -> str:
    """The item's page, its contents asked for."""
    return text(operator.get(operator.post(f"{LIST}{pk}/unmask/")["Location"]))


def test_the_list_shows_events_and_finds_them_by_id_object_and_field(operator: Client):
    for number in range(3):
        event = snapshot("charge.refunded", id=f"evt_{number}") | {"account": "acct_7"}
        event["data"]["object"]["id"] = f"ch_{number}"
        post(event)
    page = text(operator.get(LIST))
    assert all(f"evt_{number}" in page for number in range(3))
    for query in ("evt_1", "ch_1", "object:ch_1", "object:*_1 type:charge.* account:acct_7 source:received"):
        page = text(operator.get(LIST, {"q": query}))
        assert ("evt_1" in page, "evt_0" in page, "evt_2" in page) == (True, False, False), query


def test_the_page_shows_the_payload_harmlessly_and_which_handlers_ran(operator: Client, on: On, handle: DrainAt):
    @on("thing.made", name="book", version=4)
    def book(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="x")

    evil = "</pre><script>alert(1)</script>{{ 7|add:7 }}"
    post(raw(snapshot("thing.made", id="evt_1", name=evil, other="X")).replace(b'"X"', b'"a\\u0000\\ud83d"'))
    handle()
    pk = WebhookEvent.objects.get().pk
    masked = text(operator.get(f"{LIST}{pk}/change/"))
    assert "alert(1)" not in masked, "hidden until it is asked for"
    page = unmasked(operator, pk)
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "Handler book ran" in page
    assert "version 4" in page
    assert "Processed" in page


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[" * 50_000, b'{"a": NaN}'])
def test_any_payload_can_be_shown(payload: bytes, operator: Client):
    post(thin("v1.charge.refunded", about=None, snapshot_event="evt_X"))
    WebhookEvent.objects.update(payload=payload, payload_removed_at=None if payload else timezone.now())
    pk = WebhookEvent.objects.get().pk
    assert "evt_X" in text(operator.get(f"{LIST}{pk}/change/"))
    assert "evt_X" in unmasked(operator, pk)


@pytest.mark.parametrize(("who", "status"), [("observer", 200), ("customer", 302), ("anonymous", 302)])
def test_who_may_look(who: str, status: int):
    post(snapshot())
    pk = WebhookEvent.objects.get().pk
    client = client_of(who)
    assert client.get(LIST).status_code == status
    assert client.get(f"{LIST}{pk}/change/").status_code == status
    if who == "observer":
        assert client.post(f"{LIST}act/replay/", {"id": pk}).status_code == 403


def test_a_replay_runs_what_has_not_run_and_is_recorded(operator: Client, on: On, handle: DrainAt):
    post(snapshot("thing.made", id="evt_1"))
    assert handle() == {"cancel": 1}

    @on("thing.made", name="late")
    def late(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name=event.id)

    from django.contrib.auth.models import User

    actor = Actor.of(User.objects.get(username="operator"))
    chosen = Selection(ids=(WebhookEvent.objects.get().pk,))
    for _ in range(2):
        result = operations.act_on(
            act="replay",
            queue="webhook",
            selection=chosen,
            actor=actor,
            reason="there is a handler now",
            now=timezone.now(),
        )
        assert result.done == 1
        assert handle() == {"ack": 1}
    assert Effect.objects.count() == 1
    assert list(LedgerEntry.objects.values_list("act", "queue")) == [("replay", "webhook")] * 2


def test_without_its_payload_an_event_is_not_offered_for_replay(operator: Client, handle: DrainAt):
    post(snapshot("thing.made"))
    handle()
    WebhookEvent.objects.update(payload=b"", payload_removed_at=timezone.now())
    row = WebhookEvent.objects.get()
    page = text(operator.get(f"{LIST}act/replay/", {"id": row.pk}))
    assert "its payload was removed after its time" in page
