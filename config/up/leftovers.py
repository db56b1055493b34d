"""What a killed `up` left behind: its children live on in sessions of their own, and are ended by the next start.

Every process below an `up` carries that start's mark in its environment (`REDRIVE_UP=<random>`), and `up` notes mark
and pids in var/up.json. Where /proc shows environments, whoever carries the mark belongs to us, grandchildren too;
elsewhere the noted pids do, if they still began when they were noted to have begun.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

MARK = "REDRIVE_UP"
CHILD = "REDRIVE_UP_CHILD"
"""The name of the child a process belongs to."""
PROC = Path("/proc")


@dataclass
class Note:
    """What is written to var/up.json: the mark, the pid and URL of `up`, and each child's pid and beginning."""

    mark: str
    pid: int
    url: str = ""
    children: dict[str, tuple[int, str]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(fresh, path)


def read(path: Path) -> Note | None:
    """Return the note of the last start, or None if there is none that can be read."""
    try:
        note = Note(**json.loads(path.read_text(encoding="utf-8")))
        note.children = {str(name): (int(pid), str(began)) for name, (pid, began) in note.children.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return note


def began(pid: int) -> str:
    """Return when a process began, as an opaque text that tells it from a later one with the same pid; "" if dead."""
    try:
        # Field 22, counted after the name in brackets, which may itself hold brackets and spaces.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if (PROC / "self" / "stat").exists():
            return ""
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    words = found.stdout.split()
    return "" if not words or words[0].startswith("Z") else " ".join(words[1:])


def sole(path: Path) -> TextIO | None:
    """Return a file whose lock tells others that an `up` runs here, held until it is closed; None if one is running.

    The lock ends with the process that holds it, however that ends; children do not inherit it.
    """
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def belonging(note: Note) -> set[int]:
    """Return the living processes of that start, without `up` itself."""
    noted = {pid for pid, start in note.children.values() if start and began(pid) == start}
    marked = {int(entry.name) for entry in PROC.glob("[0-9]*") if _carries(entry, f"{MARK}={note.mark}".encode())}
    return {pid for pid in noted | marked if pid != os.getpid() and began(pid)}


def end(note: Note, *, patience: float, waiting: Callable[[float], None]) -> int:
    """End every process of that start: SIGTERM to the main ones, SIGKILL to all that still live after `patience` s.

    `waiting` is called with the seconds waited, several times a second. Returns how many were found.
    """
    found = belonging(note)
    mains = [pid for pid, start in note.children.values() if start and began(pid) == start]
    # Their main processes stop their own workers in order; orphans whose main is gone get the signal themselves.
    signal_all(mains or found, signal.SIGTERM)
    begun = time.monotonic()
    while (left := belonging(note)) and time.monotonic() - begun < patience:
        if mains and not any(began(pid) for pid in mains):
            mains = []
            signal_all(left, signal.SIGTERM)
        waiting(time.monotonic() - begun)
        time.sleep(0.1)
    _kill(lambda: belonging(note))
    return len(found)


def kill_below(note: Note, name: str) -> None:
    """Kill what a child that died left below itself, before it is started again."""
    mark = f"{CHILD}={name}".encode()
    _kill(lambda: {pid for pid in belonging(note) if _carries(PROC / str(pid), mark)})


def _kill(which: Callable[[], set[int]]) -> None:
    """SIGKILL what `which` finds until it finds nothing and all it found is dead.

    A dying process loses its environment, and so is not found any more, a moment before its files and locks.
    """
    seen: dict[int, str] = {}
    while True:
        seen |= {pid: began(pid) for pid in which()}
        left = [pid for pid, start in seen.items() if start and began(pid) == start]
        if not left:
            return
        signal_all(left, signal.SIGKILL)
        time.sleep(0.02)


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes that may be gone by now."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _carries(entry: Path, mark: bytes) -> bool:
    try:
        return mark in (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's process, or one that has just ended
        return False
