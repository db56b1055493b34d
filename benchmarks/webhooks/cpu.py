"""CPU time of processes, from /proc."""

from __future__ import annotations

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def of_tree(pid: int) -> float:
    """CPU seconds of a process and all below it, children that ended included."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            own = sum(int(field) for field in fields[11:13]) / TICKS
            inherited = sum(int(field) for field in fields[13:15]) / TICKS
            seconds[int(folder.name)] = max(own, _threads(folder)) + inherited
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    total, left = 0.0, [pid]
    while left:
        each = left.pop()
        total += seconds.get(each, 0.0)
        left += children.get(each, [])
    return total


def _threads(folder: pathlib.Path) -> float:
    """In nanoseconds, where the ticks are hundredths of a second; threads that ended are not in it."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in (folder / "task").iterdir()) / 1e9
