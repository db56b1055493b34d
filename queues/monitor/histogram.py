"""Latency histograms in few numbers: buckets that grow by 3 %, so that any percentile is off by 1.5 % at most.

Stored as {bucket: count}; histograms add up, over minutes, hours and machines. Bucket n holds the milliseconds above
GROWTH^(n-1) up to GROWTH^n and is told by its geometric middle; bucket 0 holds what took a millisecond or less.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta

GROWTH = 1.03
TOP = 760
"""The last bucket: about 66 days. What took longer is told as that."""
LOG = math.log(GROWTH)


def bucket(milliseconds: float) -> int:
    """The bucket of a latency."""
    if milliseconds <= 1:
        return 0
    return min(math.ceil(math.log(milliseconds) / LOG - 1e-9), TOP)


def middle(number: int) -> float:
    """The milliseconds a bucket stands for."""
    return 1.0 if number <= 0 else GROWTH ** (number - 0.5)


def merged(histograms: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of stored histograms."""
    sums: Counter[str] = Counter()
    for histogram in histograms:
        sums.update(histogram)
    return dict(sums)


def percentile(histogram: Mapping[str, int], share: float) -> timedelta | None:
    """The latency that `share` of all stay within (0.9: nine in ten); None of none."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, passed = math.ceil(total * share - 1e-9), 0
    for number in sorted(map(int, histogram)):
        passed += histogram[str(number)]
        if passed >= wanted:
            return timedelta(milliseconds=middle(number))
    return None
