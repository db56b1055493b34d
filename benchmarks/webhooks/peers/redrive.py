"""Redrive as it is, with one handler that does nothing, or nothing for so long."""

import os
import time
from typing import Any

from config.settings import *  # noqa: F403
from queues.webhooks import handlers

SLEEP_SECONDS = float(os.environ.get("BENCH_SLEEP", "0"))


@handlers.on("balance.available", name="benchmark.trivial")
def trivial(event: handlers.Event, fetched: Any) -> None:
    """Nothing to do."""
    if SLEEP_SECONDS:
        time.sleep(SLEEP_SECONDS)
