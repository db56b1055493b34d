"""Handlers for child processes: each leaves an `Effect` row; some stand still where the test wants to kill them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from queues.webhooks import handlers

FLAG = "SAMPLE_FLAG"
"""Environment: a file that is made when a handler stands still."""


def note(name: str) -> None:
    from tests.samplequeue.models import Effect

    Effect.objects.create(name=name)


def stand_still() -> None:
    """Once: the next process passes."""
    flag = Path(os.environ[FLAG])
    if not flag.exists():
        flag.touch()
        time.sleep(120)


@handlers.on("sample.effect", "sample.two", name="sample.first")
def first(event: handlers.Event, fetched: Any) -> None:
    note(f"first {event.id}")


@handlers.on("sample.two", name="sample.second")
def second(event: handlers.Event, fetched: Any) -> None:
    note(f"second {event.id}")
    stand_still()


def wait(event: handlers.Event) -> None:
    stand_still()


@handlers.on("sample.fetch", name="sample.fetch", fetch=wait)
def fetching(event: handlers.Event, fetched: Any) -> None:
    note(f"fetch {event.id}")
