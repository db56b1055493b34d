"""At most one resident drain a queue and machine, and the sign by which a machine's drains end early."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.conf import settings

from queues.engine.drain import Drain
from queues.engine.registry import Queue


def drain(queue: Queue, *, resident: timedelta) -> Counter[str]:
    """Run a resident drain; nothing if one is resident already (it sees new work by itself)."""
    with _alone(queue.name) as alone:
        if not alone:
            return Counter()
        return Drain(queue, stopping=stopping).run(resident=resident)


def stop_file() -> Path:
    """While this file is there, drains on this machine hand out nothing more and end."""
    return _folder() / "stopping"


def stopping() -> bool:
    """Whether the supervisor asked the drains of this machine to end."""
    return stop_file().exists()


@contextmanager
def _alone(name: str) -> Iterator[bool]:
    """Hold the machine's lock for this queue; the kernel drops it with the process, so a kill leaves nothing behind."""
    with open(_folder() / f"drain-{name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _folder() -> Path:
    """A folder of this machine and this database: two installations on one machine do not meet."""
    database = settings.DATABASES["default"]
    identity = "|".join(str(database.get(part, "")) for part in ("ENGINE", "HOST", "PORT", "NAME"))
    name = f"redrive-{os.getuid()}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
