"""Tasks that tests have workers run: one that kills its worker, one that holds its worker, one that leaves a trace."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def trace(path: str) -> None:
    """Add a line with the worker's number to a file."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")


def die(path: str) -> None:
    """Leave a trace, then die as if the kernel had run out of memory."""
    trace(path)
    os.kill(os.getpid(), signal.SIGKILL)


def hold(path: str, pipe: str) -> None:
    """Leave a trace, then wait until somebody opens the named pipe for writing."""
    trace(path)
    Path(pipe).read_bytes()
