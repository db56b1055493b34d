"""PostgreSQL crashes, is locked, full or read-only while events come: what was acknowledged is there, once."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import connection  # noqa: F401  (for `skipif`)

from tests.conftest import ROOT
from tests.queues.webhooks.cluster import ROLE, Cluster, like
from tests.queues.webhooks.deliveries import snapshot
from tests.queues.webhooks.web import Answer, Web

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite is a file"),
]

LIMIT_SECONDS = 5.0
BACK_SECONDS = 3.0
"""From the end of the trouble to the next 200; one delivery a second is tried meanwhile."""


@pytest.fixture
def cluster(database_url: str) -> Iterator[Cluster]:
    if not shutil.which("pg_dump"):
        pytest.skip("pg_dump is not installed")
    with like(database_url) as made:
        if made is None:
            pytest.skip("no PostgreSQL can be started here")
        yield made


class Load:
    """Events with ids of their own, from four senders at once, as long as it is entered."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.answers: dict[str, Answer] = {}
        self._over = threading.Event()
        self._senders = [threading.Thread(target=self._send, daemon=True) for _ in range(4)]

    def __enter__(self) -> Load:
        for sender in self._senders:
            sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for sender in self._senders:
            sender.join(30)

    def _send(self) -> None:
        while not self._over.is_set():
            event = snapshot("sample.effect")
            event["data"]["object"]["id"] = f"of_{event['id']}"
            answer = self.web.post(event)
            self.answers[event["id"]] = answer
            if answer.status != 200:
                self._over.wait(0.1)  # as a flood of refusals it would only measure itself

    def wait_for(self, status: int, *, count: int) -> float:
        """Until so many more were answered so; the seconds it took."""
        begun, before = time.monotonic(), self.count(status)
        while self.count(status) < before + count:
            assert time.monotonic() - begun < 30, self.web.log[-3000:]
            time.sleep(0.01)  # another process answers; there is nothing to wait on but its answers
        return time.monotonic() - begun

    def count(self, status: int) -> int:
        return sum(answer.status == status for answer in list(self.answers.values()))


@contextmanager
def crashed(cluster: Cluster) -> Iterator[None]:
    cluster.crash()
    try:
        yield
    finally:
        cluster.start()


@contextmanager
def locked(cluster: Cluster) -> Iterator[None]:
    with psycopg.connect(cluster.root) as other:
        other.execute("LOCK TABLE queues_webhookevent IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def full_of_others(cluster: Cluster) -> Iterator[None]:
    cluster.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    cluster.sessions_end()
    yield
    cluster.execute(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


@contextmanager
def read_only(cluster: Cluster) -> Iterator[None]:
    """As after a fail-over to a standby."""
    cluster.execute(f"ALTER ROLE {ROLE} SET default_transaction_read_only = on")
    cluster.sessions_end()
    yield
    cluster.execute(f"ALTER ROLE {ROLE} SET default_transaction_read_only = off")
    cluster.sessions_end()


TROUBLE: tuple[Callable[[Cluster], object], ...] = (crashed, locked, full_of_others, read_only)


def test_what_was_acknowledged_is_there_and_has_its_effect_once(
    cluster: Cluster, child_environment: dict[str, str], manage: list[str], tmp_path: Path
):
    environment = {**child_environment, "DATABASE_URL": cluster.url, "TEST_DATABASE_URL": cluster.url}
    with Web(environment) as web, Load(web) as load:
        for trouble in TROUBLE:
            load.wait_for(200, count=10)
            with trouble(cluster):  # type: ignore[attr-defined]
                load.wait_for(503, count=8)
            assert load.wait_for(200, count=1) < BACK_SECONDS, trouble
        load.wait_for(200, count=10)
    answers = load.answers
    refused = [answer for answer in answers.values() if answer.status != 200]
    assert {answer.status for answer in answers.values()} == {200, 503}
    assert all(answer.headers["retry-after"] == "60" for answer in refused)
    assert max(answer.seconds for answer in answers.values()) < LIMIT_SECONDS
    assert "Traceback" not in web.log
    acknowledged = {identity for identity, answer in answers.items() if answer.status == 200}
    stored = {str(identity) for (identity,) in cluster.execute("SELECT event_id FROM queues_webhookevent")}
    assert acknowledged <= stored
    assert stored <= set(answers)

    worker = drain(environment, manage, tmp_path)
    while effects(cluster) < 5 and worker.poll() is None:
        time.sleep(0.02)  # as above
    cluster.crash()
    cluster.start()
    worker.wait(100)
    # As if a minute had passed: leases ran out, and what met the crash is due again.
    cluster.execute(
        "UPDATE queues_webhookevent SET leased_until = now() - interval '1 s' WHERE leased_until > now()",
        "UPDATE queues_webhookevent SET due_at = now() WHERE status = 'retrying'",
    )
    assert drain(environment, manage, tmp_path).wait(100) == 0
    names = [str(name) for (name,) in cluster.execute("SELECT name FROM samplequeue_effect")]
    assert len(names) == len(set(names)), "no effect twice"
    assert set(names) == {f"first {identity}" for identity in stored}
    assert cluster.execute("SELECT DISTINCT status FROM queues_webhookevent") == [("succeeded",)]


def drain(environment: dict[str, str], manage: list[str], tmp_path: Path) -> subprocess.Popen[bytes]:
    given = {"DJANGO_SETTINGS_MODULE": "tests.queues.webhooks.sample_settings", "SAMPLE_FLAG": str(tmp_path / "passed")}
    line = [*manage, "drain", "webhook"]
    return subprocess.Popen(line, env={**environment, **given}, cwd=ROOT, stderr=subprocess.DEVNULL)


def effects(cluster: Cluster) -> int:
    ((count,),) = cluster.execute("SELECT count(*) FROM samplequeue_effect")
    assert isinstance(count, int)
    return count
