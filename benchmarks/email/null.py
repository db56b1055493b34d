"""A Django e-mail backend that sends nothing: what remains is the queue's own cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.mail.backends.base import BaseEmailBackend

from benchmarks.email import progress


class NullBackend(BaseEmailBackend):
    """Counts the messages it is given."""

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        for _ in email_messages:
            progress.count()
        return len(email_messages)
