"""The SMTP server that the measurements send to: compiles `sink.c`, runs it, reads what arrived."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import socket
import subprocess
from types import TracebackType
from typing import Self

SOURCE = pathlib.Path(__file__).with_name("sink.c")


class NoCompiler(RuntimeError):
    """There is no C compiler; a sink in Python would cost more than the queues it measures."""


@dataclasses.dataclass(frozen=True)
class Arrived:
    """What the sink saw since its reset: times are seconds since the epoch, `cpu` is its own in seconds."""

    accepted: int
    unique: int
    connections: int
    first_at: float
    last_at: float
    cpu: float

    @property
    def repeated(self) -> int:
        return self.accepted - self.unique


@dataclasses.dataclass(frozen=True)
class Arrival:
    """One mail: how many copies came, and when the first of them."""

    copies: int
    at: float


def compiled(*, folder: pathlib.Path) -> pathlib.Path:
    """Return the path of the sink's binary in `folder`, compiling it when it is missing or older than its source."""
    binary = folder / "sink"
    if binary.exists() and binary.stat().st_mtime > SOURCE.stat().st_mtime:
        return binary
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("These measurements need a C compiler (cc) for their SMTP server, benchmarks/email/sink.c.")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O2", "-o", binary, SOURCE], check=True)
    return binary


class Sink:
    """A running sink: `with Sink(folder=…) as sink`."""

    def __init__(self, *, folder: pathlib.Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([compiled(folder=self._folder)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()

    def reset(self, *, delay_ms: float = 0) -> None:
        """Forget all arrivals; from now on each message is answered after `delay_ms`."""
        self._ask(f"RESET {delay_ms}")

    def arrived(self) -> Arrived:
        """Return the sums since the reset."""
        accepted, unique, connections, first_at, last_at, cpu = self._ask("STAT")[0].split()
        return Arrived(int(accepted), int(unique), int(connections), float(first_at), float(last_at), float(cpu))

    def arrivals(self) -> dict[int, Arrival]:
        """Return every mail that arrived, by its number."""
        lines = (line.split() for line in self._ask("IDS") if line != "end")
        return {int(number): Arrival(int(copies), float(at)) for number, copies, at in lines}

    def wait_for(self, accepted: int, *, seconds: float) -> bool:
        """Block until so many messages were accepted; False when `seconds` passed first."""
        try:
            self._ask(f"WAIT {accepted}", seconds=seconds)
        except TimeoutError:
            return False
        return True

    def _ask(self, verb: str, *, seconds: float = 60) -> list[str]:
        """Send one control verb; return the text of its reply lines."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as link:
            answer = link.makefile("r", encoding="ascii", newline="\r\n")
            answer.readline()
            link.sendall(f"XBENCH {verb}\r\n".encode())
            lines = []
            for line in answer:
                lines.append(line[4:].strip())
                if line[3] == " ":
                    return lines
        raise ConnectionError("The sink closed the connection.")
