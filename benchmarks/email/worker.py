"""The process in which one contender works: `python -m benchmarks.email.worker MODULE ACTION [JSON arguments]`.

It imports everything and connects, says READY, and begins when it reads a line; then it says DONE and stays, with its
database sessions open, until its input closes: so neither start nor end is in the figures.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from benchmarks.email import mail
from benchmarks.email.contenders import Queue


def main() -> None:
    module, action = sys.argv[1:3]
    arguments = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    queue = cast(Queue, importlib.import_module(f"benchmarks.email.contenders.{module}"))
    queue.prepare()
    if action != "migrate":
        queue.state()  # opens the database connection and imports the models
    say("READY")
    sys.stdin.readline()
    cpu, began_at = cpu_seconds(), time.time()
    result = ACTIONS[action](queue, **arguments)
    ended_at = time.time()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say("DONE", began_at=began_at, ended_at=ended_at, cpu=cpu_seconds() - cpu, peak_mb=peak_mb, result=result)
    sys.stdin.readline()


def migrate(queue: Queue) -> None:
    queue.migrate()


def enqueue(queue: Queue, numbers: int, of: str = "user", first: int = 0) -> None:
    for number in range(first, first + numbers):
        queue.enqueue(number, mail.address(number, of=of))


def enqueue_many(queue: Queue, numbers: int, of: str = "user", first: int = 0) -> None:
    pairs = [(number, mail.address(number, of=of)) for number in range(first, first + numbers)]
    queue.enqueue_many(pairs)


def drain(queue: Queue, host: int = 0) -> None:
    queue.drain(host)


def state(queue: Queue) -> dict[str, int]:
    return queue.state()


ACTIONS: dict[str, Callable[..., Any]] = {
    action.__name__: action for action in (migrate, enqueue, enqueue_many, drain, state)
}


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def say(word: str, **figures: object) -> None:
    """Write one line for the harness, past whatever a library prints."""
    print(f"BENCH {word} {json.dumps(figures)}", flush=True)


if __name__ == "__main__":
    main()
