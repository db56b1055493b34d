"""A real web server whose database is locked, gone or frozen, or that is killed: what was acknowledged stays."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from django.db.models import F

from queues.webhooks.models import HandlerRun, WebhookEvent
from tests.conftest import ROOT
from tests.queues.webhooks import deliveries
from tests.queues.webhooks.deliveries import snapshot
from tests.queues.webhooks.web import Proxy, Web, at_once
from tests.samplequeue.models import Effect

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

postgres = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite is a file")
LIMIT_SECONDS = 5.0


@pytest.fixture
def web(child_environment: dict[str, str]) -> Iterator[Web]:
    with Web(child_environment) as server:
        yield server


@contextmanager
def locked() -> Iterator[None]:
    """Somebody holds the inbox's table, or (SQLite) the database."""
    if connection.vendor == "postgresql":
        with psycopg.connect(
            os.environ["DATABASE_URL"].replace(dbname(), str(connection.settings_dict["NAME"]))
        ) as other:
            other.execute("LOCK TABLE queues_webhookevent IN ACCESS EXCLUSIVE MODE")
            yield
        return
    other_file = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)
    other_file.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other_file.execute("ROLLBACK")
        other_file.close()


def dbname() -> str:
    return urlsplit(os.environ["DATABASE_URL"]).path.removeprefix("/")


def rows() -> int:
    return WebhookEvent.objects.count()


def test_the_same_id_a_hundred_times_at_once_is_one_row_and_one_effect(
    web: Web, child_environment: dict[str, str], manage: list[str], tmp_path: Path
):
    for number in range(3):
        event = snapshot("sample.effect", id=f"evt_{number}")
        answers = at_once([lambda event=event: web.post(event)] * 100)
        assert {answer.status for answer in answers} == {200}
        assert sum(not answer.json["repeated"] for answer in answers) == 1
    assert rows() == 3
    assert run_worker(child_environment, manage, tmp_path).wait(60) == 0
    assert sorted(Effect.objects.values_list("name", flat=True)) == ["first evt_0", "first evt_1", "first evt_2"]


def test_while_the_table_is_locked_every_delivery_is_told_in_time_to_come_again(web: Web):
    assert web.post(snapshot(id="evt_before")).status == 200
    with locked():
        events = [snapshot() for _ in range(16)]
        answers = at_once([lambda event=event: web.post(event) for event in events])
        assert {answer.status for answer in answers} == {503}
        assert max(answer.seconds for answer in answers) < LIMIT_SECONDS
        assert all(answer.headers["retry-after"] == "60" for answer in answers)
        again = web.post(snapshot())
        assert (again.status, again.seconds < 2) == (503, True), "one after the other tries, and shortly"
    begun = time.monotonic()
    while web.post(events[0]).status != 200:
        assert time.monotonic() - begun < 2
    assert time.monotonic() - begun < 1
    assert rows() == 2, "nothing that was answered 503 was stored behind our back"
    assert "Traceback" not in web.log


@postgres
def test_a_database_that_swallows_everything_is_503_and_then_at_once_200(child_environment: dict[str, str]):
    parts = urlsplit(child_environment["DATABASE_URL"])
    with Proxy(str(parts.hostname), parts.port or 5432) as proxy:
        url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}").geturl()
        with Web({**child_environment, "DATABASE_URL": url, "TEST_DATABASE_URL": url}) as web:
            assert web.post(snapshot(id="evt_before")).status == 200
            proxy.frozen.set()
            events = [snapshot() for _ in range(8)]
            answers = at_once([lambda event=event: web.post(event) for event in events])
            assert {answer.status for answer in answers} == {503}
            assert max(answer.seconds for answer in answers) < LIMIT_SECONDS
            late = web.post(snapshot())
            assert (late.status, late.seconds < LIMIT_SECONDS) == (503, True)
            proxy.listen()
            begun = time.monotonic()
            while web.post(events[0]).status != 200:
                assert time.monotonic() - begun < 4
            assert "Traceback" not in web.log
    assert WebhookEvent.objects.filter(event_id=events[0]["id"]).count() == 1


def test_a_full_database_is_503():
    if connection.vendor == "postgresql":
        pytest.skip("a full disk cannot be had here")
    from queues.webhooks import inbox, parsing

    connection.ensure_connection()
    raw = connection.connection
    (pages,) = raw.execute("PRAGMA page_count").fetchone()
    raw.execute(f"PRAGMA max_page_count = {pages}")
    (free,) = raw.execute("PRAGMA freelist_count").fetchone()  # what other tests left is filled first
    try:
        with pytest.raises(inbox.NotStored, match="full"):
            for _ in range(free // 90 + 2):  # 400 kB are 98 pages
                body = deliveries.raw(snapshot(name="x" * 400_000))
                inbox.receive(parsed=parsing.parse(body), body=body, arrival=inbox.Arrival())
    finally:
        raw.execute("PRAGMA max_page_count = 1073741823")


def test_killed_between_the_commit_and_the_answer_it_is_stored_and_needs_no_other_delivery(
    child_environment: dict[str, str], manage: list[str], tmp_path: Path
):
    flag = tmp_path / "died"
    with Web({**child_environment, "DIES_BEFORE_ANSWER": str(flag)}) as web:
        event = snapshot("sample.effect", id="evt_1")
        assert web.post(event).status == 0, "the connection broke"
        assert flag.exists()
        assert rows() == 1
        web.wait_until_up()
        answer = web.post(event)
        assert (answer.status, answer.json["repeated"]) == (200, True)
    assert run_worker(child_environment, manage, tmp_path).wait(60) == 0
    assert list(Effect.objects.values_list("name", flat=True)) == ["first evt_1"]
    assert WebhookEvent.objects.get().status == "succeeded"


def test_what_granian_itself_makes_of_bad_requests(web: Web):
    body = deliveries.raw(snapshot(name="x" * 600_000))
    headers = {"Content-Type": "application/json", "Stripe-Signature": deliveries.header(body)}
    assert web.request("POST", deliveries.ADDRESS, body, headers).status == 413
    assert web.request("POST", deliveries.ADDRESS, b"", headers).status == 400
    assert web.request("POST", deliveries.ADDRESS, b"{}", {}).status == 415
    latin = {**headers, "Stripe-Signature": "t=1,v1=\xe9\xff"}
    assert web.request("POST", deliveries.ADDRESS, b"{}", latin).status == 400
    forwarded = {"Content-Type": "application/json", "Stripe-Signature": "x", "X-Forwarded-For": "not-an-ip"}
    assert web.request("POST", deliveries.ADDRESS, b"{}", forwarded).status == 400
    assert web.request("GET", deliveries.ADDRESS).status == 405
    assert rows() == 0
    assert "Traceback" not in web.log


def run_worker(
    environment: dict[str, str], manage: list[str], tmp_path: Path, flag: str = ""
) -> subprocess.Popen[bytes]:
    given = {
        **environment,
        "DJANGO_SETTINGS_MODULE": "tests.queues.webhooks.sample_settings",
        "SAMPLE_FLAG": flag or str(tmp_path / "passed"),
    }
    return subprocess.Popen([*manage, "drain", "webhook"], env=given, cwd=ROOT, stderr=subprocess.DEVNULL)


def store(kind: str, *ids: str) -> None:
    from queues.webhooks import inbox, parsing

    for identity in ids:
        event = snapshot(kind, id=identity)
        event["data"]["object"]["id"] = f"of_{identity}"
        body = deliveries.raw(event)
        inbox.receive(parsed=parsing.parse(body), body=body, arrival=inbox.Arrival())


def let_the_leases_run_out() -> None:
    WebhookEvent.objects.filter(status="processing").update(leased_until=F("leased_until") - timedelta(seconds=40))


@pytest.mark.parametrize(("kind", "before"), [("sample.two", ["first evt_1"]), ("sample.fetch", [])])
def test_a_worker_killed_inside_a_handler_repeats_no_effect(
    kind: str, before: list[str], child_environment: dict[str, str], manage: list[str], tmp_path: Path
):
    store(kind, "evt_1")
    flag = tmp_path / "stands"
    worker = run_worker(child_environment, manage, tmp_path, flag=str(flag))
    try:
        deadline = time.monotonic() + 40
        while not flag.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)  # another process's work; there is nothing to wait on but its sign
    finally:
        worker.kill()
        worker.wait()
    assert list(Effect.objects.values_list("name", flat=True)) == before, "the open transaction is gone"
    assert WebhookEvent.objects.get().status == "processing"
    let_the_leases_run_out()
    assert run_worker(child_environment, manage, tmp_path, flag=str(flag)).wait(60) == 0
    name = kind.removeprefix("sample.").replace("two", "second")
    assert list(Effect.objects.order_by("pk").values_list("name", flat=True)) == [*before, f"{name} evt_1"]
    row = WebhookEvent.objects.get()
    assert (row.status, row.attempts) == ("succeeded", 2)
    assert HandlerRun.objects.count() == len(before) + 1


def test_workers_killed_at_any_moment_lose_and_double_nothing(
    child_environment: dict[str, str], manage: list[str], tmp_path: Path
):
    ids = [f"evt_{number:03}" for number in range(60)]
    store("sample.effect", *ids)
    for share in (10, 35):
        worker = run_worker(child_environment, manage, tmp_path)
        deadline = time.monotonic() + 40
        while Effect.objects.count() < share and worker.poll() is None:
            assert time.monotonic() < deadline
        worker.kill()
        worker.wait()
        let_the_leases_run_out()
    assert run_worker(child_environment, manage, tmp_path).wait(100) == 0
    names = list(Effect.objects.values_list("name", flat=True))
    assert len(names) == 60
    assert set(names) == {f"first {identity}" for identity in ids}
    assert WebhookEvent.objects.filter(status="succeeded").count() == 60


def test_workers_at_once_run_each_event_once(child_environment: dict[str, str], manage: list[str], tmp_path: Path):
    store("sample.effect", *(f"evt_{number:03}" for number in range(60)))
    workers = [run_worker(child_environment, manage, tmp_path) for _ in range(3)]
    assert [worker.wait(100) for worker in workers] == [0] * 3
    assert Effect.objects.count() == 60
    assert WebhookEvent.objects.filter(status="succeeded", attempts=1).count() == 60
