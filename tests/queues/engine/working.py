"""Starts `manage.py work` in a process of its own, hears what it logs, and sees the processes below it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[3]


def until[Value](condition: Callable[[], Value], *, within: float = 20.0) -> Value:
    """Return the condition's value as soon as it is true; fails after that many seconds."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within:.0f} s"
        pause.wait(0.02)
    return value


class Work:
    """A supervisor with its cluster, as a context manager that leaves no process behind."""

    def __init__(self, environment: dict[str, str], *options: str, delivery: str = "", retry: int = 120) -> None:
        self.environment = {
            **environment,
            "DJANGO_SETTINGS_MODULE": "tests.queues.engine.cluster_settings",
            "WORKERS_DATABASE_URL": environment["DATABASE_URL"],
            "WORKERS_RETRY": str(retry),
            **({"WORKERS_DELIVERY_URL": delivery} if delivery else {}),
        }
        self.options = options
        self.lines: list[dict[str, Any]] = []
        self.heard = threading.Condition()
        self.process: subprocess.Popen[str]
        self.readers: list[threading.Thread] = []
        self.sessions: set[int] = set()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_error: object) -> None:
        if failed:
            print(self.told())
        self.process.kill()
        self.process.wait()
        for session in self.sessions:
            for pid in members(session):
                kill(pid)
        for reader in self.readers:
            reader.join(timeout=10)

    def begin(self) -> None:
        """Start it; again, after it has ended."""
        line = [sys.executable, str(ROOT / "manage.py"), "work", *self.options]
        self.process = subprocess.Popen(line, cwd=ROOT, env=self.environment, stderr=subprocess.PIPE, text=True)
        self.readers.append(threading.Thread(target=self._read, args=(self.process,), daemon=True))
        self.readers[-1].start()

    def wait_for(self, event: str, *, count: int = 1, within: float = 25.0) -> dict[str, Any]:
        """The `count`-th line of that event, as soon as it was logged."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.of(event)) >= count, timeout=within), self.told()
            return self.of(event)[count - 1]

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of that event so far."""
        return [line for line in self.lines if line.get("event") == event]

    def told(self) -> str:
        """Its last words, for a failing test."""
        return "\n".join(str(line.get("text") or line) for line in self.lines[-100:])

    def started(self, *, count: int = 1, within: float = 25.0) -> int:
        """The session of the `count`-th cluster it started, as soon as all of its workers stand ready."""
        session = int(self.wait_for("cluster.started", count=count, within=within)["pid"])
        # Main, sentinel, six workers, monitor, pusher: until then a signal meets a half-built cluster.
        until(lambda: len(members(session)) >= 10, within=within)
        return session

    def stop(self, *, within: float = 20.0) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=within)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:  # open until the last process below has ended, too
            for text in process.stderr:
                self._note(text)

    def _note(self, text: str) -> None:
        try:
            line = json.loads(text)
        except ValueError:
            line = {"text": text.rstrip()}
        with self.heard:
            self.lines.append(line)
            if line.get("event") == "cluster.started":
                self.sessions.add(int(line["pid"]))
            self.heard.notify_all()


def members(session: int) -> set[int]:
    """The living processes of a session."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.add(int(entry.name))
    return found


def children(pid: int) -> list[int]:
    """A process's children, in the order they were started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sentinel(session: int) -> int:
    """The one child of the main process."""
    return children(session)[0]


def workers(session: int) -> list[int]:
    """The sentinel's children but for the last two, monitor and pusher (as long as none was replaced)."""
    return children(sentinel(session))[:-2]


def reads(pid: int) -> bool:
    """Whether the process is in a read: among idle workers this one holds the queue's lock, the others wait for it."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] == {"x86_64": "0"}.get(os.uname().machine, "63")
    except OSError:
        return False


def kill(pid: int) -> None:
    """SIGKILL; gone already is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
