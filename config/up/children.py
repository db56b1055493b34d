"""A child of `up`: in a session of its own, writing to its log file; its new lines are shown shortened."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from config.up.plan import ROOT, Command

SHOWN_PER_LOOK = 8
"""Lines shown at one look (five a second); the rest is counted and stays in the log file."""
LINE_MAX = 160
HIDDEN = frozenset({"timestamp", "level", "event", "logger", "request_id", "user_agent", "user_id", "exception"})


class Child:
    """One long-lived process and the tail of its log."""

    def __init__(self, command: Command, *, environment: Mapping[str, str], log: Path) -> None:
        self.command = command
        self.environment = environment
        self.log = log
        self.read_to = 0
        self.last: deque[str] = deque(maxlen=12)
        self.process: subprocess.Popen[bytes] | None = None
        self.began_at: list[float] = []

    def start(self) -> int:
        """Start it and return its pid. Output goes to the file itself, so that it outlives even a killed `up`."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command.line,
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.began_at.append(time.monotonic())
        return self.process.pid

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.process.poll() if self.process else 0

    def ask_to_stop(self) -> None:
        """SIGTERM to the main process alone: a signal to django-q2's whole group hangs it."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def died_often(self, *, now: float) -> bool:
        """Whether restarting has become pointless: five starts in a minute."""
        return len([start for start in self.began_at if now - start < 60]) >= 5

    def new_lines(self) -> list[str]:
        """Return what it wrote since the last look, shortened, at most SHOWN_PER_LOOK lines."""
        with self.log.open("rb") as file:
            file.seek(self.read_to)
            text = file.read(4_000_000)
        complete = text.rfind(b"\n") + 1
        self.read_to += complete
        lines = [shown for raw in text[:complete].splitlines() if (shown := short(raw.decode("utf-8", "replace")))]
        self.last.extend(lines)
        if len(lines) > SHOWN_PER_LOOK:
            more = len(lines) - SHOWN_PER_LOOK
            return [*lines[:SHOWN_PER_LOOK], f"… {more} more lines in {self.log}"]
        return lines


def short(line: str) -> str:
    """Return one line for the terminal: a JSON line as `event key=value …`, anything else cut to length."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        if fields.get("event") == "request_finished":
            return cut(f"{fields.get('request')} {fields.get('code')}")
        level = str(fields.get("level", ""))
        loud = f"{level.upper()} " if level in {"warning", "error", "critical"} else ""
        rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in HIDDEN)
        cause = str(fields.get("exception") or "").strip().rpartition("\n")[2]
        return cut(f"{loud}{fields.get('event', '')} {rest} {cause}")
    return cut(line)


def cut(line: str) -> str:
    """Return the line without control characters (it may hold what strangers sent), cut to length."""
    clean = "".join(letter if letter.isprintable() else " " for letter in line).strip()
    return clean if len(clean) <= LINE_MAX else f"{clean[: LINE_MAX - 1]}…"
