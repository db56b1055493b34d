"""Dispatch: each handler once, by itself, whatever the others do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from queues.engine import registry, transitions
from queues.engine.attempts import Attempt
from queues.engine.outcomes import Cancel, Permanent, Snooze, Transient
from queues.webhooks import handlers, stripe_api
from queues.webhooks.models import HandlerRun, WebhookEvent
from tests.queues.webhooks.conftest import DrainAt, On
from tests.queues.webhooks.deliveries import post, raw, snapshot
from tests.samplequeue.models import Effect

threads = pytest.mark.django_db(transaction=True)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("secret")]

KIND = "thing.made"


def effects() -> list[str]:
    return list(Effect.objects.order_by("pk").values_list("name", flat=True))


def only() -> WebhookEvent:
    return WebhookEvent.objects.get()


def test_a_handler_runs_once_with_what_the_event_says(on: On, handle: DrainAt):
    seen: list[handlers.Event] = []

    @on(KIND, name="a")
    def apply(event: handlers.Event, fetched: Any) -> None:
        seen.append(event)
        Effect.objects.create(name=event.id)

    post(snapshot(KIND, id="evt_1", name="Ann") | {"account": "acct_1"})
    assert handle() == {"ack": 1}
    assert effects() == ["evt_1"]
    (event,) = seen
    assert (event.type, event.object["name"], event.object_id, event.account) == (KIND, "Ann", "cus_1", "acct_1")
    assert (event.behind, event.is_current, event.row_id) == (False, False, only().pk)
    assert only().status == "succeeded"
    run = HandlerRun.objects.get()
    assert (run.handler, run.version, run.event_id, run.item_id) == ("a", 1, "evt_1", only().pk)
    post(snapshot(KIND, id="evt_1", name="Ann"))
    assert handle() == {}
    assert effects() == ["evt_1"]


def test_without_a_handler_it_is_cancelled_and_can_be_replayed_once_there_is_one(on: On, handle: DrainAt):
    post(snapshot(KIND))
    assert handle() == {"cancel": 1}
    assert (only().status, only().last_code, only().last_words) == ("cancelled", "no handler", "No handler.")

    @on(KIND, name="late")
    def apply(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="late")

    transitions.replay(WebhookEvent.objects.all(), now=timezone.now())
    assert handle() == {"ack": 1}
    assert effects() == ["late"]
    transitions.replay(WebhookEvent.objects.all(), now=timezone.now())
    assert handle() == {"ack": 1}
    assert effects() == ["late"], "a replay runs only what has not run"


def test_one_that_fails_neither_rolls_back_nor_repeats_the_others(on: On, handle: DrainAt):
    broken = [True]

    @on(KIND, name="first")
    def first(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="first")

    @on(KIND, name="second", version=3)
    def second(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="second")
        if broken[0]:
            raise RuntimeError("not yet")

    @on(KIND, name="third")
    def third(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="third")

    post(snapshot(KIND))
    assert handle() == {"retry": 1}
    assert effects() == ["first", "third"]
    row = only()
    assert (row.status, row.last_code, row.last_words) == ("retrying", "bug RuntimeError", "RuntimeError: not yet")
    assert Attempt.objects.get().via == "second"
    broken[0] = False
    assert handle(after=timedelta(seconds=61)) == {"ack": 1}
    assert effects() == ["first", "third", "second"]
    assert HandlerRun.objects.get(handler="second").version == 3


def test_the_schedule_is_one_try_and_five_retries_and_then_a_dead_letter(on: On, handle: DrainAt):
    @on(KIND, name="poison")
    def apply(event: handlers.Event, fetched: Any) -> None:
        raise ValueError("a\x00b")

    post(snapshot(KIND))
    passed = timedelta()
    for wait in (0, 60, 300, 1800, 7200, 86_400):
        assert handle(after=passed + timedelta(seconds=wait - 2)) == {} if wait else True
        passed += timedelta(seconds=wait + 1)
        assert handle(after=passed), f"after {wait} s"
    row = only()
    assert (row.status, row.attempts, row.last_code) == ("dead_letter", 6, "bug ValueError")
    assert Attempt.objects.count() == 6
    assert effects() == []
    transitions.redrive(WebhookEvent.objects.all(), now=timezone.now())
    assert handle(after=passed) == {"retry": 1}


def test_several_failures_make_one_retry_that_names_them_all(on: On, handle: DrainAt):
    @on(KIND, name="a")
    def a(event: handlers.Event, fetched: Any) -> None:
        raise Transient("busy", code="busy", retry_after=timedelta(seconds=7))

    @on(KIND, name="b")
    def b(event: handlers.Event, fetched: Any) -> None:
        raise Permanent("never", code="never")

    @on(KIND, name="c")
    def c(event: handlers.Event, fetched: Any) -> None:
        raise KeyError("x")

    post(snapshot(KIND))
    now = timezone.now()
    assert handle() == {"retry": 1}
    row = only()
    assert row.last_words == "a: busy; b: never; c: KeyError: 'x'"
    assert row.last_code == "bug KeyError + busy + never"
    assert 6 <= (row.due_at - now).total_seconds() <= 10
    assert Attempt.objects.get().via == "a, b, c"


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([Permanent("no"), Permanent("no")], "dead_letter"),
        ([Permanent("no"), None], "dead_letter"),
        ([Permanent("no"), Cancel("nothing")], "dead_letter"),
        ([Cancel("nothing"), Cancel("nothing")], "cancel"),
        ([Cancel("nothing"), None], "ack"),
        ([None, Cancel("nothing")], "ack"),
        ([Transient("later", charged=False), Transient("later", charged=False)], "retry"),
        ([Snooze("later", until=timezone.now() + timedelta(hours=1)), None], "snooze"),
        ([Snooze("later", until=timezone.now() + timedelta(hours=1)), Permanent("no")], "retry"),
    ],
)
def test_how_an_attempt_ends_by_what_its_handlers_say(outcomes: list[Any], verdict: str, on: On, handle: DrainAt):
    for number, outcome in enumerate(outcomes):

        @on(KIND, name=f"h{number}")
        def apply(event: handlers.Event, fetched: Any, outcome: Any = outcome) -> None:
            if outcome is not None:
                raise outcome

    post(snapshot(KIND))
    assert handle() == {verdict: 1}
    charged = not all(isinstance(each, Snooze) or not getattr(each, "charged", True) for each in outcomes if each)
    assert only().attempts == int(charged or verdict == "ack")


@threads
def test_fetch_runs_outside_and_apply_inside_a_transaction_without_network(on: On, drain: DrainAt, stub: Any):
    stub.objects["/v1/things/1"] = {"id": "1"}
    said: list[Any] = []

    def fetch(event: handlers.Event) -> Any:
        said.append(transaction.get_connection().in_atomic_block)
        return stripe_api.get("/v1/things/1")

    @on(KIND, name="a", fetch=fetch)
    def apply(event: handlers.Event, fetched: Any) -> None:
        said.append((fetched, transaction.get_connection().in_atomic_block))
        try:
            stripe_api.get("/v1/things/1")
        except RuntimeError as error:
            said.append(str(error))

    post(snapshot(KIND))
    assert drain() == {"ack": 1}
    assert said == [False, ({"id": "1"}, True), "no call to Stripe inside apply"]
    assert len(stub.asked) == 1


def test_a_fetch_that_fails_is_retried_without_apply(on: On, handle: DrainAt, stub: Any):
    stub.fail("/v1/things/1", 503, **{"Retry-After": "9"})
    stub.objects["/v1/things/1"] = {"id": "1"}

    @on(KIND, name="a", fetch=lambda event: stripe_api.get("/v1/things/1"))
    def apply(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="a")

    post(snapshot(KIND))
    assert handle() == {"retry": 1}
    assert effects() == []
    assert only().last_code == "stripe 503"
    assert handle(after=timedelta(seconds=10)) == {"ack": 1}
    assert effects() == ["a"]


@threads
def test_a_handler_that_lost_its_lease_leaves_nothing_behind(on: On, drain: DrainAt):
    @on(KIND, name="slow")
    def apply(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="slow")

    times = iter(range(100))

    def meanwhile(event: handlers.Event) -> None:
        if next(times):
            return
        # Another worker took it: its time had run out.
        WebhookEvent.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
        transitions.reclaim(registry.get("webhook"), now=timezone.now())

    @on(KIND, name="slower", fetch=meanwhile)
    def late(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="slower")

    post(snapshot(KIND))
    assert drain() == {"lost": 1, "ack": 1}
    assert effects() == ["slow", "slower"], "what came after the loss was rolled back, and done by the next attempt"
    assert (only().status, only().attempts) == ("succeeded", 2)


def test_hostile_text_reaches_the_handler_storable(on: On, handle: DrainAt):
    @on(KIND, name="a")
    def apply(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name=event.object["name"])

    body = raw(snapshot(KIND, name="X")).replace(b'"X"', b'"a\\u0000b\\ud83dc\\ud83d\\ude00"')
    post(body)
    assert handle() == {"ack": 1}
    assert effects() == ["a�b�c😀"]
    assert bytes(only().payload) == body


@threads
def test_events_of_one_object_never_run_at_once_and_others_do(on: On, drain: DrainAt):
    import threading

    running: set[str] = set()
    together: list[int] = []
    lock = threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def fetch(event: handlers.Event) -> None:
        with lock:
            assert event.object_id not in running
            running.add(event.object_id)
        if event.object["round"] == 0:
            both.wait()
        with lock:
            together.append(len(running))

    @on(KIND, name="a", fetch=fetch)
    def apply(event: handlers.Event, fetched: Any) -> None:
        with lock:
            running.discard(event.object_id)

    for number in range(3):
        for thing in ("cus_1", "cus_2"):
            event = snapshot(KIND, round=number)
            event["data"]["object"]["id"] = thing
            post(event)
    assert drain() == {"ack": 6}
    assert max(together) == 2


@threads
def test_a_poison_event_does_not_keep_nine_others_from_finishing(on: On, drain: DrainAt):
    @on(KIND, name="a")
    def apply(event: handlers.Event, fetched: Any) -> None:
        if event.object_id == "cus_3":
            raise SystemExit(1)
        Effect.objects.create(name=event.object_id)

    for number in range(10):
        event = snapshot(KIND)
        event["data"]["object"]["id"] = f"cus_{number}"
        post(event)
    counts = drain()
    assert counts["ack"] == 9
    assert len(effects()) == 9


def test_an_event_whose_payload_is_gone_is_a_dead_letter(on: On, handle: DrainAt):
    @on(KIND, name="a")
    def apply(event: handlers.Event, fetched: Any) -> None:
        Effect.objects.create(name="a")

    post(snapshot(KIND))
    WebhookEvent.objects.update(payload=b"")
    assert handle() == {"dead_letter": 1}
    assert only().last_code == "no payload"
