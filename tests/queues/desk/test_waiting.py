"""The sentence that says why an item is where it is: one state of the world for each, word by word."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from queues.desk import waiting
from queues.email.models import EmailMessage, Suppression
from queues.engine import heartbeats, registry
from queues.engine.pauses import Pause
from queues.engine.policy import RetryPolicy
from queues.engine.registry import Queue
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail
from tests.samplequeue.models import LanedJob

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def later(**gap: float) -> datetime:
    return NOW + timedelta(**gap)


CASES: list[tuple[dict[str, Any], str]] = [
    ({"status": "pending", "due_at": NOW}, "It is due now; a worker takes it in a moment."),
    ({"status": "pending", "due_at": later(hours=3)}, "It was asked to run no earlier than in 3 h."),
    (
        {"status": "pending", "due_at": later(minutes=-3)},
        "It has been due for 3 min: other items are before it, or the queue's limit is used up.",
    ),
    (
        {"status": "retrying", "due_at": later(minutes=5), "attempts": 4, "runs": 4},
        "Its last try failed. Retry 4 of 5 comes in 5 min.",
    ),
    (
        {"status": "retrying", "due_at": later(seconds=30), "attempts": 1, "max_retries": 1},
        "Its last try failed. Retry 1 of 1 comes in 30 s.",
    ),
    (
        {"status": "pending", "due_at": later(seconds=40), "waits_for": "rate:email.recipient"},
        "It waits 40 s for the rate limit email.recipient (10 in 1 min).",
    ),
    (
        {"status": "retrying", "due_at": later(seconds=60), "waits_for": "breaker"},
        "Every transport failed several times in a row and is left alone: the next try is in 1 min.",
    ),
    (
        {"status": "retrying", "due_at": later(minutes=15), "waits_for": "uncertain"},
        "The other side may have taken it, only its answer was lost. For 15 min more it waits for word of it; "
        "it is not sent again before.",
    ),
    (
        {"status": "processing", "leased_until": later(seconds=9), "leased_by": "web-1:7"},
        "A worker holds it (web-1:7) and is working on it; its last sign came 21 s ago.",
    ),
    (
        {"status": "processing", "leased_until": later(seconds=-1)},
        "The worker that held it is gone: its lease ran out, and it is taken back in a moment.",
    ),
    (
        {"status": "dead_letter", "attempts": 6, "last_words": "451 try later"},
        "It was given up after 6 tries. The cause was: 451 try later",
    ),
    (
        {"status": "dead_letter", "attempts": 1, "uncertain_at": NOW},
        "The other side may have taken it, and no word of it came. Sending it again may make a second copy: "
        "look there first.",
    ),
    ({"status": "cancelled", "last_words": "suppressed"}, "It was cancelled: suppressed"),
    ({"status": "succeeded"}, "It is done."),
    (
        {"status": "succeeded", "hidden_at": NOW},
        "It was purged. It can be restored for seven days after that, then only its key remains.",
    ),
]


def why(**fields: Any) -> str:
    return reason(**fields).words


def reason(**fields: Any) -> waiting.Why:
    return waiting.why(EmailMessage(**fields), queue=registry.get("email"), now=NOW)


@pytest.fixture
def workers(db: None) -> None:
    heartbeats.beat(name="cluster:web-1", now=NOW)


@pytest.mark.parametrize(("fields", "sentence"), CASES)
def test_each_state_has_its_sentence(workers: None, fields: dict[str, Any], sentence: str):
    assert why(**fields) == sentence


def test_no_workers(db: None):
    said = why(status=Status.PENDING, due_at=later(minutes=-3))
    assert (
        said == "It has been due for 3 min, and no machine's workers are running: they are started by “manage.py work”."
    )
    assert reason(status=Status.PENDING, due_at=later(minutes=-3)).url == "/admin/queues/heartbeat/"


def test_a_pause_comes_before_all_else(workers: None):
    Pause.objects.create(queue="email", kind="newsletter", reason="x", paused_at=later(minutes=-3))
    assert why(status="pending", kind="newsletter", due_at=NOW) == (
        "Items of type newsletter were paused 3 min ago (x): nothing is handed out until staff resume it."
    )
    assert reason(status="pending", kind="newsletter", due_at=NOW).url.endswith("/pause/email/resume/?kind=newsletter")
    assert why(status="pending", kind="receipt", due_at=NOW).startswith("It is due now")
    anna = User.objects.create_user("anna")
    Pause.objects.create(
        queue="email", reason="spam wave", paused_at=later(hours=-1), paused_by=anna, resume_at=later(hours=2)
    )
    held = reason(status="pending", kind="newsletter", due_at=later(minutes=-9))
    assert held.words == ("The queue email was paused by anna 1 h ago (spam wave): nothing is handed out for 2 h more.")
    assert (held.label, held.needs) == ("Resume", ("pause", EmailMessage))
    assert held.url.endswith("/pause/email/resume/")


def test_a_suppressed_recipient_is_named_with_the_way_to_its_suppression(workers: None):
    Suppression.objects.create(address="a@example.com", cause="hard_bounce")
    fields = {"status": "pending", "due_at": later(hours=1)}
    held = reason(recipients=["a@example.com"], **fields)
    assert held.words == "a@example.com is suppressed: when its turn comes, it is cancelled instead of sent."
    assert held.url.endswith("/suppression/?q=a%40example.com")
    assert why(recipients=["a@example.com", "b@example.com"], **fields).startswith("It was asked to run")


def test_a_busy_lane_names_the_item_in_it(workers: None):
    queue = Queue(name="laned", model=LanedJob, policy=RetryPolicy(1), handler=lambda item, shared: None)
    basics = {"created_at": NOW, "lane": "cus_1"}
    LanedJob.objects.create(
        idempotency_key="a", status="processing", lease_token=uuid.uuid4(), leased_until=later(seconds=30), **basics
    )
    other = LanedJob.objects.create(idempotency_key="b", due_at=NOW, **basics)
    busy = LanedJob.objects.get(idempotency_key="a").pk
    said = waiting.why(other, queue=queue, now=NOW)
    assert said.words == f"Item {busy} of its lane is being worked on, and a lane runs one item at a time."
    other.lane = "cus_2"
    assert waiting.why(other, queue=queue, now=NOW).words.startswith("It is due now")


@pytest.mark.parametrize(("who", "offered"), [("operator", True), ("observer", False)])
def test_the_page_offers_what_clears_it_to_who_may(db: None, who: str, offered: bool):
    Pause.objects.create(queue="email", reason="x", paused_at=NOW)
    item = mail(Status.PENDING)
    page = client_of(who).get(f"/admin/queues/emailmessage/{item.pk}/change/").content.decode()
    assert "The queue email was paused" in page
    assert ('href="/admin/queues/pause/email/resume/">Resume …</a>' in page) == offered


@pytest.mark.parametrize(
    ("fields", "page"),
    [
        ({"due_at": later(minutes=-3)}, "ratecounter"),
        ({"due_at": later(seconds=9), "waits_for": "rate:email"}, "ratecounter"),
        ({"due_at": later(seconds=9), "waits_for": "breaker"}, "breaker"),
    ],
)
def test_what_the_machine_clears_can_be_looked_into(workers: None, fields: dict[str, Any], page: str):
    assert reason(status="pending", **fields).url == f"/admin/queues/{page}/"


def test_every_transport_out_of_order(workers: None, settings: Any):
    from queues.email import transports
    from queues.engine import breaker

    for way in transports.configured():
        for _ in range(breaker.THRESHOLD):
            breaker.failed(name=way.name, words="refused", now=NOW)
    assert why(status="pending", due_at=NOW) == (
        "Every transport failed and is left alone for 1 min; it is tried again then."
    )
