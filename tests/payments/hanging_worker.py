"""A webhook worker that stops for ever at a chosen moment of booking a payment, so that a test can kill it there.

python -m tests.payments.hanging_worker effect       the order is paid and the receipt enqueued, nothing committed
python -m tests.payments.hanging_worker committed    just after the commit
"""

from __future__ import annotations

import sys
import threading
from typing import Any, NoReturn

import django

django.setup()

from django.db import transaction  # noqa: E402

from payments import mails  # noqa: E402
from queues.engine import registry  # noqa: E402
from queues.engine.drain import Drain  # noqa: E402

book = mails.receipt


def hang() -> NoReturn:
    """Say that the moment has come, and stay."""
    print("here", flush=True)
    threading.Event().wait()
    raise AssertionError


def receipt(*given: Any, **named: Any) -> None:
    """Enqueue it, then stop."""
    book(*given, **named)
    if sys.argv[1] == "effect":
        hang()
    transaction.on_commit(hang)


mails.receipt = receipt
Drain(registry.get("webhook")).run()
