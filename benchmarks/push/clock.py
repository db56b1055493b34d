"""What a worker measures of itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

REPETITIONS = 25


def best_cpu(work: Callable[[], object], *, times: int = 100) -> float:
    """Microseconds of CPU of one call: the best of 25 short repetitions, which other load disturbs least."""
    best = float("inf")
    for _ in range(REPETITIONS):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


def in_threads(work: Callable[[int], None], *, count: int, threads: int) -> dict[str, float]:
    """Do it `count` times; per second, and CPU ms each."""
    each = count // threads
    hands = [threading.Thread(target=work, args=(each,)) for _ in range(threads)]
    cpu, wall = time.process_time(), time.perf_counter()
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    seconds = time.perf_counter() - wall
    return {"per second": each * threads / seconds, "CPU ms each": (time.process_time() - cpu) * 1e3 / (each * threads)}
