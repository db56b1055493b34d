"""A process that carries operations out until it is told to die: `python -m tests.queues.desk.bulk_worker ID STAGE AT`.

It is killed (as by kill -9) when it comes to the stage for the AT-th time; at `never` it ends with the operation.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from typing import Any

import django


def main() -> None:
    """Step on, each step a second later than the one before, so that no pace makes it wait."""
    operation_id, stage, at = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    django.setup()

    from django.utils import timezone

    from queues.desk import ledger
    from queues.desk.bulk import run
    from queues.desk.bulk.operation import Portion

    passed = dict.fromkeys(("begun", "mentioned", "marked", "ended"), 0)

    def come_to(name: str) -> None:
        passed[name] += 1
        if name == stage and passed[name] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    mention, save = ledger.mention, Portion.save

    def mention_and(**said: Any) -> None:
        come_to("begun")
        mention(**said)
        come_to("mentioned")

    def save_and(portion: Portion, *args: Any, **said: Any) -> None:
        save(portion, *args, **said)
        come_to("marked")

    ledger.mention, Portion.save = mention_and, save_and  # type: ignore[method-assign,assignment]
    now = timezone.now()
    while run.step(operation_id=operation_id, now=now):
        come_to("ended")
        now += timedelta(seconds=5)


if __name__ == "__main__":
    main()
