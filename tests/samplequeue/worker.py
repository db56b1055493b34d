"""A worker process that drains the job queue and can be told where to die: `python -m tests.samplequeue.worker ...`.

What it sends is a line in a file, so that the test sees it whatever becomes of the process and the database.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from datetime import timedelta
from typing import Any

import django

STAGES = ("claimed", "before", "inside", "sent", "settling", "committing", "settled", "never")


def main() -> None:
    """Drain; at the given stage of the given item, be killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sent")
    parser.add_argument("--die", choices=STAGES, default="never")
    parser.add_argument("--at", type=int, default=1)
    parser.add_argument("--hands", type=int, default=4)
    parser.add_argument("--resident", type=float, default=0)
    parser.add_argument("--gate", help="a pipe: nothing is sent until its other end is closed, and then a minute later")
    given = parser.parse_args()
    django.setup()

    from queues.engine import claim, drain, settle
    from queues.engine.drain import Drain
    from queues.engine.policy import RetryPolicy
    from queues.engine.registry import Done, Queue
    from tests.samplequeue.models import Effect, Job

    clock = drain._awake_or_not
    lock, passed, gates = threading.Lock(), dict.fromkeys(STAGES, 0), [given.gate]

    def stage(name: str) -> None:
        with lock:
            passed[name] += 1
            if given.die == name and passed[name] == given.at:
                os.kill(os.getpid(), signal.SIGKILL)

    def leave(item: Any) -> None:
        Effect.objects.create(name=str(item.pk))
        stage("committing")

    def wait_at_the_gate() -> None:
        with lock:
            while gates and (gate := gates.pop()):
                with open(gate) as pipe:
                    pipe.read()
                drain._awake_or_not = lambda: clock() + 60  # as if the machine had been suspended so long

    def handler(item: Any, context: Any) -> Done:
        stage("before")
        wait_at_the_gate()
        with open(given.sent, "ab", buffering=0) as sent:
            stage("inside")
            sent.write(f"{item.pk}\n".encode())
        stage("sent")
        return Done(effect=lambda: leave(item))

    claims, settles = claim.claim, settle.settle

    def claim_and(*args: Any, **more: Any) -> Any:
        items = claims(*args, **more)
        if items:
            stage("claimed")
        return items

    def settle_and(*args: Any, **more: Any) -> Any:
        stage("settling")
        held = settles(*args, **more)
        stage("settled")
        return held

    claim.claim, settle.settle = claim_and, settle_and  # type: ignore[assignment]
    queue = Queue(name="job", model=Job, policy=RetryPolicy(1, 5, 30), handler=handler, hands=given.hands)
    resident = timedelta(seconds=given.resident) if given.resident else None
    print("ready", flush=True)
    print(dict(Drain(queue).run(resident=resident)), flush=True)


if __name__ == "__main__":
    main()
