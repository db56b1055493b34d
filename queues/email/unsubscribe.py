"""RFC 8058 (placeholder until it is written)."""

from __future__ import annotations

from queues.email.models import EmailMessage


def headers_for(message: EmailMessage) -> tuple[tuple[str, str], ...]:
    return ()
