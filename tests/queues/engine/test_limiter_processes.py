"""Eight processes that hammer the same keys: never one over, in any window of any key, and nobody gets stuck."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 8
SECONDS = 3.5
LIMITS = {"all": (40, 1), "each": (7, 2)}


def test_eight_processes_never_take_one_too_many(child_environment: dict[str, str]) -> None:
    asked = ",".join(f"{name}={limit}/{length}" for name, (limit, length) in LIMITS.items())
    environment = {**child_environment, "TEST_RATE_LIMITS": asked, "TEST_ON": ""}
    command = [sys.executable, "-m", "tests.samplequeue.hammer", str(PROCESSES), str(SECONDS)]
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (said.returncode, said.stderr) == (0, "")

    times: dict[str, list[int]] = defaultdict(list)
    for line in filter(None, said.stdout.split("\n")):
        at, *keys = line.split()
        for key in keys:
            times[key].append(int(at))
    for key, taken in times.items():
        limit, length = LIMITS[key.partition(":")[0]]
        taken.sort()
        for first, over in zip(taken, taken[limit:], strict=False):
            assert over - first >= length * 1_000_000, key
    # The allowance was wanted and used: at least three windows of it.
    assert len(times["all"]) >= 3 * LIMITS["all"][0]
    assert len(times) == 7
