"""Order: `created` is exact to the second and events overtake each other; what counts is its state at Stripe."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from queues.webhooks import handlers
from queues.webhooks.models import HandlerRun, WebhookEvent
from tests.queues.webhooks.conftest import DrainAt, On
from tests.queues.webhooks.deliveries import post, snapshot, thin
from tests.queues.webhooks.stripe_stub import Stub

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("secret")]

KINDS = ("customer.created", "customer.updated", "customer.deleted")
PATH = "/v1/customers/cus_1"


@pytest.fixture
def state(on: On) -> dict[str, Any]:
    """What a handler that mirrors the object has written last."""
    kept: dict[str, Any] = {}

    @on(*KINDS, "product.created", "product.updated", "product.deleted", name="mirror", current=True)
    def mirror(event: handlers.Event, fetched: Any) -> None:
        kept.clear()
        kept.update(event.object)

    return kept


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("step", [0, 1])
def test_every_order_of_created_updated_and_deleted_ends_in_stripes_state(
    order: tuple[int, ...], step: int, state: dict[str, Any], handle: DrainAt, stub: Stub
):
    start = int(time.time()) - 100
    told = [snapshot(kind, created=start + number * step, round=number) for number, kind in enumerate(KINDS)]
    stub.objects[PATH] = {"id": "cus_1", "object": "customer", "deleted": True}
    for number in order:
        post(told[number])
        assert handle() == {"ack": 1}
    if order == (0, 1, 2) and step:
        assert stub.asked == [], "each was strictly the newest"
        assert state["round"] == 2
    else:
        assert state == {"id": "cus_1", "object": "customer", "deleted": True}


def test_a_deleted_object_that_stripe_knows_no_more_is_said_to_be_deleted(
    state: dict[str, Any], handle: DrainAt, stub: Stub
):
    for kind in ("product.created", "product.deleted", "product.updated"):
        event = snapshot(kind, created=int(time.time()) - 50)
        event["data"]["object"]["id"] = "prod_1"
        post(event)
        assert handle() == {"ack": 1}
    assert (state["id"], state["deleted"]) == ("prod_1", True)


def test_an_old_update_two_days_late_does_not_turn_the_clock_back(state: dict[str, Any], handle: DrainAt, stub: Stub):
    now = int(time.time())
    post(snapshot("customer.updated", created=now, name="new"))
    assert handle() == {"ack": 1}
    stub.objects[PATH] = {"id": "cus_1", "name": "newest"}
    post(snapshot("customer.updated", created=now - 2 * 86_400, name="old"))
    assert handle() == {"ack": 1}
    assert state["name"] == "newest"


def test_an_event_older_than_a_state_we_fetched_is_behind_it(state: dict[str, Any], handle: DrainAt, stub: Stub):
    now = int(time.time())
    stub.objects[PATH] = {"id": "cus_1", "name": "fetched"}
    for created, name in ((now - 50, "a"), (now - 60, "b"), (now - 40, "c, known already when b made us look")):
        post(snapshot("customer.updated", created=created, name=name))
        assert handle() == {"ack": 1}
    assert state["name"] == "fetched"


def test_the_same_object_id_in_another_account_is_another_object(state: dict[str, Any], handle: DrainAt, stub: Stub):
    now = int(time.time())
    post(snapshot("customer.updated", created=now, name="ours"))
    post(snapshot("customer.updated", created=now - 10, name="theirs") | {"account": "acct_9"})
    assert handle() == {"ack": 2}
    assert stub.asked == []


def test_a_connected_accounts_object_is_fetched_in_its_name_and_shape(
    state: dict[str, Any], handle: DrainAt, stub: Stub
):
    stub.objects[PATH] = {"id": "cus_1"}
    for _ in range(2):
        post(snapshot("customer.updated", created=1_800_000_000) | {"account": "acct_9", "api_version": "2020-08-27"})
        handle()
    (asked,) = stub.asked
    assert asked.headers["Stripe-Account"] == "acct_9"
    assert asked.headers["Stripe-Version"] == "2020-08-27"
    assert "Idempotency-Key" not in asked.headers


@pytest.mark.parametrize("first", ["thin", "snapshot"])
def test_a_thin_event_and_its_snapshot_have_one_effect(first: str, on: On, handle: DrainAt, stub: Stub):
    ran: list[tuple[str, str, Any]] = []

    @on("thing.refunded", name="book")
    def book(event: handlers.Event, fetched: Any) -> None:
        ran.append((event.id, event.type, event.object["amount_refunded"]))

    stub.objects["/v1/charges/ch_1"] = {"id": "ch_1", "object": "charge", "amount_refunded": 500}
    full = snapshot("thing.refunded", amount_refunded=500, id="evt_X")
    full["data"]["object"]["id"] = "ch_1"
    about = {"id": "ch_1", "type": "charge", "url": "/v1/charges/ch_1"}
    short = thin("v1.thing.refunded", about=about, snapshot_event="evt_X")
    for event in (short, full) if first == "thin" else (full, short):
        assert post(event).status_code == 200
        assert handle() == {"ack": 1}
        assert post(event).json()["repeated"] is True
    assert ran == [("evt_X", "thing.refunded", 500)]
    assert WebhookEvent.objects.filter(status="succeeded").count() == 2
    assert HandlerRun.objects.count() == 1
    assert len(stub.asked) == (1 if first == "thin" else 0)


def test_both_at_once_have_one_effect_too(on: On, handle: DrainAt, stub: Stub):
    ran: list[str] = []

    @on("thing.refunded", name="book")
    def book(event: handlers.Event, fetched: Any) -> None:
        ran.append(event.id)

    stub.objects["/v1/charges/ch_1"] = {"id": "ch_1"}
    full = snapshot("thing.refunded", id="evt_X")
    full["data"]["object"]["id"] = "ch_1"
    post(full)
    about = {"id": "ch_1", "type": "charge", "url": "/v1/charges/ch_1"}
    post(thin("v1.thing.refunded", about=about, snapshot_event="evt_X"))
    assert handle() == {"ack": 2}
    assert ran == ["evt_X"]


@pytest.mark.parametrize(("status", "wait"), [(404, 60), (429, 7), (500, 60)])
def test_a_related_object_that_does_not_come_is_asked_for_later(
    status: int, wait: int, on: On, handle: DrainAt, stub: Stub
):
    ran: list[Any] = []

    @on("thing.refunded", name="book")
    def book(event: handlers.Event, fetched: Any) -> None:
        ran.append(event.object)

    stub.fail("/v1/charges/ch_1", status, **({"Retry-After": "7"} if status == 429 else {}))
    stub.objects["/v1/charges/ch_1"] = {"id": "ch_1"}
    post(thin("v1.thing.refunded", about={"id": "ch_1", "type": "charge", "url": "/v1/charges/ch_1"}))
    assert handle() == {"retry": 1}
    assert handle(after=timedelta(seconds=wait - 2)) == {}
    assert handle(after=timedelta(seconds=wait + 1)) == {"ack": 1}
    assert ran == [{"id": "ch_1"}]


def test_a_thin_event_cannot_send_us_elsewhere(on: On, handle: DrainAt, stub: Stub):
    @on("thing.refunded", name="book")
    def book(event: handlers.Event, fetched: Any) -> None:
        raise AssertionError

    for number, url in enumerate(
        ("http://169.254.169.254/v1/x", "//evil.example/v1/x", "/v1/../admin", "", "@evil/v1/x")
    ):
        about = {"id": f"ch_{number}", "type": "charge", "url": url}
        post(thin("v1.thing.refunded", about=about))
    assert handle() == {"dead_letter": 5}
    assert stub.asked == []


def test_without_a_key_the_event_waits_and_says_why(on: On, handle: DrainAt, settings: Settings):
    settings.STRIPE_API_KEY = ""

    @on("thing.refunded", name="book")
    def book(event: handlers.Event, fetched: Any) -> None:
        raise AssertionError

    post(thin("v1.thing.refunded", about={"id": "ch_1", "type": "charge", "url": "/v1/charges/ch_1"}))
    assert handle() == {"retry": 1}
    assert WebhookEvent.objects.get().last_words == "STRIPE_API_KEY is not set."


def test_its_own_earlier_attempt_does_not_put_an_event_behind_itself(on: On, handle: DrainAt, stub: Stub):
    seen: list[bool] = []

    @on("thing.made", name="first")
    def first(event: handlers.Event, fetched: Any) -> None:
        pass

    @on("thing.made", name="second", current=True)
    def second(event: handlers.Event, fetched: Any) -> None:
        seen.append(event.behind)
        if len(seen) == 1:
            raise RuntimeError("not yet")

    post(snapshot("thing.made"))
    assert handle() == {"retry": 1}
    assert handle(after=timedelta(minutes=2)) == {"ack": 1}
    assert seen == [False, False]
    assert stub.asked == []
