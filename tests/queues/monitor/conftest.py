"""Where alerts go in tests: a real SMTP server and a real HTTP receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.queues.monitor.receiver import Receiver
from tests.smtp_sink import Sink


@pytest.fixture(scope="module")
def _sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def sink(_sink: Sink, settings: Settings) -> Sink:
    """A mailbox for alerts, empty."""
    _sink.clear()
    settings.EMAIL_DELIVERY_URL = [_sink.url]
    settings.ALERT_EMAILS = ["ops@example.com"]
    return _sink


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """A webhook for alerts."""
    with Receiver() as receiver:
        settings.ALERT_WEBHOOK_URL = f"{receiver.url}/services/T0/B0/s3cret"
        settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
        yield receiver
