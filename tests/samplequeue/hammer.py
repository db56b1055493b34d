"""Processes that ask the limiter as fast as they can: `python -m tests.samplequeue.hammer PROCESSES SECONDS`.

Prints a line for each grant that was kept: `<microseconds since 1970> <keys…>`.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import time

import django


def hammer(seed: int, seconds: float) -> list[str]:
    """Ask for batches over random keys until the time is up; give some of it back."""
    from queues.engine import limiter
    from queues.engine.registry import Limit

    chance = random.Random(seed)
    subjects = [Limit("each", name) for name in "abcdef"]
    kept: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wants = [
            limiter.Want((Limit("all"), *chance.sample(subjects, chance.randint(0, 3))), ahead=chance.random() < 0.3)
            for _ in range(chance.randint(1, 10))
        ]
        for want, grant in zip(wants, limiter.grant(wants), strict=True):
            if not grant.granted or grant.at is None:
                continue
            if chance.random() < 0.2:
                limiter.give_back(want.limits, granted_at=grant.at)
            else:
                keys = " ".join(limit.key for limit in want.limits)
                kept.append(f"{int(grant.at.timestamp() * 1_000_000)} {keys}")
    return kept


def main() -> None:
    """Fork, so that one start serves all."""
    processes, seconds = int(sys.argv[1]), float(sys.argv[2])
    django.setup()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for kept in pool.starmap(hammer, [(seed, seconds) for seed in range(processes)], chunksize=1):
            print("\n".join(kept))


if __name__ == "__main__":
    main()
