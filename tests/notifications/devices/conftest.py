"""What the device tests share with those of sending: a push service that says what it is told to."""

from __future__ import annotations

from tests.notifications.sending.conftest import service

__all__ = ["service"]
