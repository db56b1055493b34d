"""What the e-mail tests share: an SMTP server of their own, raised limits, and a drain at a chosen time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from queues.engine import registry
from queues.engine.drain import Drain
from tests.smtp_sink import Sink

type DrainAt = Callable[..., Counter[str]]


@pytest.fixture(scope="session")
def sink_process() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def sink(sink_process: Sink, settings: Settings) -> Sink:
    """A friendly, empty SMTP server, set as the only way out; nothing limits the rate."""
    sink_process.clear()
    settings.EMAIL_DELIVERY_URL = [sink_process.url]
    settings.RATE_LIMITS = {name: (1_000_000, seconds) for name, (_, seconds) in settings.RATE_LIMITS.items()}
    return sink_process


@pytest.fixture
def drain() -> DrainAt:
    """`drain()` or `drain(after=timedelta)`: run the e-mail queue as if it were so much later."""

    def run(*, after: timedelta = timedelta(), at: datetime | None = None) -> Counter[str]:
        shift = (at - timezone.now()) if at else after
        return Drain(registry.get("email"), clock=lambda: timezone.now() + shift).run()

    return run
