"""The start page: what flows in and out, the failure groups that grew, and when the processors run."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Schedule, Task

from queues.desk import bounded, charts, flow
from queues.engine import registry
from queues.engine.attempts import Attempt
from queues.engine.failure_groups import FailureGroup
from queues.engine.recurring import PREFIX
from queues.engine.states import Status
from tests.queues.desk.people import client_of, mail

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def operator() -> Client:
    return client_of("operator")


def start(client: Client) -> str:
    response = client.get("/admin/")
    assert response.status_code == 200
    return response.content.decode()


def email_flow(now: Any) -> flow.Flow:
    return flow.flows([registry.get("email")], now=now)["email"]


def ran(outcome: str, at: Any, queue: str = "email") -> None:
    Attempt.objects.create(queue=queue, item_id=1, number=1, outcome=outcome, started_at=at)


class TestFlow:
    def test_in_and_out_of_each_five_minutes(self):
        now = timezone.now()
        for minutes in (1, 2, 59, 61, 4000):
            mail(created_at=now - minutes * MINUTE)
        ran("ack", now - MINUTE), ran("cancel", now - 31 * MINUTE), ran("retry", now), ran("ack", now, queue="other")
        found = email_flow(now)
        assert found.came == (1, *[0] * 10, 2)
        assert found.left == (*[0] * 5, 1, *[0] * 5, 1)
        assert found.whole
        assert found.words == "in the last hour 3 came in, 2 were done"

    def test_an_empty_queue_is_a_flat_line(self):
        assert email_flow(timezone.now()) == flow.Flow((0,) * 12, (0,) * 12)

    def test_what_does_not_reach_back_an_hour_says_so(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(flow, "SAMPLE", 3)
        now = timezone.now()
        for minutes in (50, 40, 30, 20, 10):
            mail(created_at=now - minutes * MINUTE)
        found = email_flow(now)
        assert (sum(found.came), found.whole) == (3, False)
        assert "3+ came in" in found.words

    def test_it_asks_only_bounded_questions(self):
        mail(), ran("ack", timezone.now())
        with CaptureQueriesContext(connection) as queries:
            email_flow(timezone.now())
        asked = [query["sql"] for query in queries if "queues_" in query["sql"]]
        assert len(asked) == 1, "one statement, however many queues there are"
        assert [sql for sql in asked if "LIMIT" not in sql or "OFFSET" in sql or "DISTINCT" in sql] == []

    def test_what_takes_too_long_is_left_out(self, operator: Client, monkeypatch: pytest.MonkeyPatch):
        def give_up(*_given: Any, **_more: Any) -> Any:
            raise bounded.TookTooLong

        monkeypatch.setattr(flow.bounded, "budget", give_up)
        assert "came in" not in start(operator)


class TestPage:
    def test_the_flow_is_a_picture_with_its_numbers_in_words(self, operator: Client):
        mail(Status.PENDING)
        page = start(operator)
        assert re.search(
            r'<svg class="desk-lines"[^>]*role="img" aria-label="in the last hour 1 came in, 0 were done"', page
        )
        assert "In the last hour 1 came in, 0 were done." in page

    def test_the_processor_says_when_it_ran_and_runs(self, operator: Client):
        now = timezone.now()
        Task.objects.create(
            id="t1", name="x", func="f", started=now - 5 * MINUTE, stopped=now - 4 * MINUTE, success=True
        )
        Schedule.objects.filter(name=f"{PREFIX}drain email").delete()
        Schedule.objects.create(name=f"{PREFIX}drain email", func="f", next_run=now + 3.5 * MINUTE, task="t1")
        page = re.sub(r"<[^>]+>", "", start(operator))
        assert "Processor: last run 4 min ago, next in 3 min" in page
        Task.objects.update(success=False)
        assert "Failed" in start(operator)

    def test_groups_that_grew_come_with_the_most_new_ones_first(self, operator: Client):
        now = timezone.now()
        for number, (dead, at, state) in enumerate(
            [(1, now, "open"), (3, now, "acknowledged"), (2, now, "resolved"), (2, now - 5 * 60 * MINUTE, "open")]
        ):
            FailureGroup.objects.create(
                queue="email",
                fingerprint=f"{number:016x}",
                code=f"cause {number}",
                words="said",
                first_seen_at=at,
                last_seen_at=at,
                changed_at=at,
                state=state,
            )
            for _ in range(dead):
                mail(dead_at=at, fingerprint=f"{number:016x}")
        page = start(operator)
        assert re.findall(r">(cause \d)</a>", page) == ["cause 1", "cause 0"]
        assert "3 new of 3" in page

    def test_who_may_not_see_a_queue_sees_nothing_of_it(self):
        FailureGroup.objects.create(
            queue="email",
            fingerprint="0" * 16,
            code="cause 0",
            **dict.fromkeys(("first_seen_at", "last_seen_at", "changed_at"), timezone.now()),
        )
        mail(fingerprint="0" * 16)
        client = client_of("helper")
        page = start(client)
        assert "cause 0" not in page
        assert "came in" not in page


def test_a_chart_is_to_scale_and_its_words_are_text():
    drawn = charts.bars([0, 5, 10], words='"><script>')
    heights = [float(height) for height in re.findall(r'height="([\d.]+)"/>', drawn)]
    assert heights == [0.5, 13.0, 26.0]
    assert "<script>" not in drawn
    line = charts.lines(("in", [0, 10]), ("out", []), words="x")
    assert 'points="0.0,26.0 120.0,2.0"' in line
