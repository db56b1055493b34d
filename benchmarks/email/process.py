"""Starts the contenders' worker processes, gives the GO, takes their figures, kills them when a scenario says so."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.email import postgres, venv
from benchmarks.email.contenders import Contender

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "var" / "bench"
PROGRESS = FOLDER / "progress"
LOCKS = FOLDER / "locks"


class WorkerFailed(RuntimeError):
    """A contender's process ended without DONE; the message is the end of what it wrote."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a worker says at its end: times in seconds since the epoch, CPU in seconds."""

    began_at: float
    ended_at: float
    cpu: float
    peak_mb: float
    result: Any

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


class Worker:
    """One process of a contender, started and READY; in a session of its own, so that it can be killed whole."""

    def __init__(self, contender: Contender, action: str, *, environment: dict[str, str], **arguments: object) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        python = venv.python(folder=FOLDER) if contender.peer else pathlib.Path(sys.executable)
        command = [str(python), "-m", "benchmarks.email.worker", contender.module, action, json.dumps(arguments)]
        self.process = subprocess.Popen(
            command,
            bufsize=0,
            cwd=ROOT,
            env=variables(contender) | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        self._figures: Figures | None = None
        if self._hear("READY", seconds=60) is None:
            self.kill()
            raise WorkerFailed("not ready within 60 s")

    def go(self) -> float:
        """Let it begin; return the time."""
        assert self.process.stdin is not None
        at = time.time()
        self.process.stdin.write(b"\n")
        return at

    def done(self, *, seconds: float = 600) -> Figures:
        """Wait for its figures; it keeps its sessions open until `close`."""
        if not self.is_done(seconds=seconds):
            raise WorkerFailed(f"not done within {seconds:.0f} s")
        assert self._figures is not None
        return self._figures

    def is_done(self, *, seconds: float) -> bool:
        """Say whether it is done, waiting for that at most so long."""
        if self._figures is None and (said := self._hear("DONE", seconds=seconds)) is not None:
            self._figures = Figures(**said)
        return self._figures is not None

    def close(self) -> None:
        """Let it end, or end it."""
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate(timeout=10)

    def kill(self) -> None:
        """kill -9, with all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def cpu(self) -> float:
        """CPU seconds since its start, read from outside."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mb(self) -> float:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def _hear(self, word: str, *, seconds: float) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        mark = f"BENCH {word} ".encode()
        until = time.monotonic() + seconds
        while select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))[0]:
            line = self.process.stdout.readline()
            if line.startswith(mark):
                return dict(json.loads(line.removeprefix(mark)))
            if not line:
                self._log.seek(0)
                raise WorkerFailed("\n".join(self._log.read().decode(errors="replace").splitlines()[-15:]))
        return None


def variables(contender: Contender) -> dict[str, str]:
    """Return the environment of a contender's processes."""
    own = {
        "BENCH_MODULE": contender.module,
        "BENCH_PROGRESS": str(PROGRESS),
        "DATABASE_URL": postgres.url(contender.database),
        "PYTHONPATH": str(ROOT),
    }
    return {**os.environ, **own, **postgres.environment(contender.database), **contender.options}


def run(contender: Contender, action: str, **arguments: object) -> Any:
    """Run one action in a process of its own and return its result."""
    return measured(contender, action, **arguments).result


def measured(contender: Contender, action: str, **arguments: object) -> Figures:
    """Run one action in a process of its own and return its figures."""
    worker = Worker(contender, action, environment={}, **arguments)
    worker.go()
    figures = worker.done()
    worker.close()
    return figures


@contextlib.contextmanager
def workers(contender: Contender, *, hosts: int = 1, environment: dict[str, str]) -> Iterator[list[Worker]]:
    """Start `hosts` draining workers, all READY; kill what is left of them at the end."""
    started = [Worker(contender, "drain", environment=environment, host=host) for host in range(hosts)]
    try:
        yield started
    finally:
        for worker in started:
            if worker.running:
                worker.kill()
