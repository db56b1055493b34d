"""The processes of this machine's cluster as the kernel tells them: memory, and what the board says they are doing.

Read from /proc; where there is none (no Linux), nothing is known, and nothing is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from queues.engine import board

PROC = Path("/proc")
MEGABYTE = 1024 * 1024
SHOWN = 40


def of_session(session: int) -> list[dict[str, Any]]:
    """pid, memory in MB (resident) and, of those at work, the task and for how many seconds; the biggest first."""
    tasks = board.tasks(session=session)
    found = []
    try:
        pids = [int(each.name) for each in PROC.iterdir() if each.name.isdigit()]
    except OSError:
        return []
    for pid in pids:
        try:
            if os.getsid(pid) != session:
                continue
            resident = int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):  # it ended a moment ago
            continue
        row: dict[str, Any] = {"pid": pid, "memory_mb": round(resident / MEGABYTE, 1)}
        if pid in tasks:
            seconds, name = tasks[pid]
            row |= {"task": name, "seconds": round(seconds)}
        found.append(row)
    return sorted(found, key=lambda row: -row["memory_mb"])[:SHOWN]
