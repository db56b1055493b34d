"""What docs/engine.md shows runs, and a queue is as short as it says."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from pytest_django import Settings

from queues.engine import registry, retry
from queues.engine.attempts import Attempt
from queues.engine.limiter import RateCounter
from queues.engine.outcomes import Permanent, Transient
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python *(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(*names: str, **given: Any) -> dict[str, Any]:
    """Run the page's blocks of that name, one after the other, in one namespace."""
    space: dict[str, Any] = {"__name__": "tests.samplequeue.page", **given}
    for name, code in BLOCKS:
        if name in names:
            exec(compile(code, "docs/engine.md", "exec"), space)
    return space


def test_every_block_is_run_by_one_of_these_tests() -> None:
    assert {name for name, _ in BLOCKS} == {"", "sms", "limiter", "log"}


def test_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [TimeoutError(), TimeoutError(), {"EUR": 1.0}]
    slept: list[float] = []

    def rates_server() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(retry.time, "sleep", slept.append)
    fetch_rates = run("", rates_server=rates_server)["fetch_rates"]
    assert fetch_rates() == {"EUR": 1.0}
    assert slept == [0.2, 0.6]
    answers[:] = [TimeoutError()] * 3
    with pytest.raises(Transient, match="did not answer"):
        fetch_rates()
    answers[:] = [PermissionError()]
    with pytest.raises(Permanent):
        fetch_rates()


class Provider:
    """An SMS provider that knows our key."""

    def __init__(self) -> None:
        self.sent: dict[str, str] = {}
        self.fails: list[Exception] = []

    def send(self, number: str, text: str, *, key: str) -> str:
        if self.fails:
            raise self.fails.pop(0)
        self.sent[key] = text
        return f"id-{len(self.sent)}"


@pytest.fixture
def _page_models() -> Iterator[None]:
    """The page's model has a table only while its test runs."""
    yield
    model = apps.all_models["samplequeue"].pop("sms", None)
    apps.clear_cache()
    registry._queues.pop("sms", None)
    if model is not None:
        with connection.schema_editor() as editor:
            editor.delete_model(model)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_page_models")
def test_a_queue_of_your_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RATE_LIMITS = {"sms": (50, 60), "sms.number": (5, 3600)}
    register = registry.register

    def with_table(queue: registry.Queue) -> None:
        with connection.schema_editor() as editor:
            editor.create_model(queue.model)
        register(queue)

    monkeypatch.setattr(registry, "register", with_table)
    provider = Provider()

    space = run("sms", sms_provider=provider)

    assert provider.sent == {"table-7": "Your table is ready"}
    (sms,) = space["Sms"].objects.all()
    assert (sms.status, sms.provider_id) == ("succeeded", "id-1")
    assert Attempt.objects.get(queue="sms").via == "provider"
    assert set(RateCounter.objects.values_list("key", flat=True)) == {"sms", "sms.number:+49 30 1234567"}

    provider.fails = [ConnectionError("reset"), ValueError("no such number")]
    space["send"](number="+1", text="a")
    assert space["Drain"](registry.get("sms")).run() == {"retry": 1}
    space["Sms"].objects.filter(status="retrying").update(due_at=sms.created_at)
    assert space["Drain"](registry.get("sms")).run() == {"dead_letter": 1}


def test_a_queue_takes_less_than_fifty_lines() -> None:
    code = next(code for name, code in BLOCKS if name == "sms")
    assert len([line for line in code.splitlines() if line.strip()]) < 50


@pytest.mark.django_db
def test_limiter(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    settings.RATE_LIMITS = {"checkout.user": (1, 3600), "checkout.address": (20, 3600)}
    for _ in range(3):
        assert run("limiter")["grant"].granted  # each time it is given back
    page = next(code for name, code in BLOCKS if name == "limiter").replace("limiter.give_back", "# ")
    for _ in range(2):
        exec(compile(page, "docs/engine.md", "exec"), {})
    assert "checkout.user is used up until" in capsys.readouterr().out


def test_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.getLogger().handlers[0]
    with caplog.at_level(logging.INFO):
        run("log")
    line = json.loads(handler.format(caplog.records[-1]))
    assert line["event"] == "sms.sent"
    assert (line["queue"], line["item_id"], line["took_ms"]) == ("sms", 7, 12)
    assert (line["to"], line["token"]) == ("a…@example.com", "[masked]")
