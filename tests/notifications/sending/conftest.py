"""What the sending tests share: a push service of their own, and limits that are not in the way."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from notifications.states import Transport
from notifications.transports import carriers
from tests.notifications.sending.world import Service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Service:
    """One service behind FCM, APNs and Web Push; nothing limits the rate."""
    made = Service()
    for transport in (Transport.FCM, Transport.APNS, Transport.WEBPUSH):
        monkeypatch.setitem(carriers._made, transport, made)
    settings.RATE_LIMITS = {name: (1_000_000, seconds) for name, (_, seconds) in settings.RATE_LIMITS.items()}
    return made
