"""`manage.py up` as a real process: start, stop, start again, killed, in the way, and with a dying child."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from config.up import leftovers
from config.up.plan import free_port
from tests.conftest import ROOT

pytestmark = [pytest.mark.once, pytest.mark.slow, pytest.mark.alone]

READY = "Stop with Ctrl-C"


class Up:
    """A running `up`, and what it has said so far."""

    def __init__(self, var: Path, port: int, **environment: str) -> None:
        self.var, self.port = var, port
        clean = {"PATH": os.environ["PATH"], "HOME": str(var), "VAR_DIR": str(var), "PORT": str(port)}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env={**clean, "DATABASE_URL": f"sqlite:///{var}/redrive.sqlite3", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def until(self, words: str, *, seconds: float = 90) -> str:
        """Read until a line holds the words, and return that line."""
        end = time.monotonic() + seconds
        while (line := self.lines.get(timeout=max(0.01, end - time.monotonic()))) is not None:
            self.said.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended without saying {words!r}:\n{''.join(self.said)}")

    def note(self) -> dict[str, Any]:
        """What it wrote down about its children."""
        note: dict[str, Any] = json.loads((self.var / "up.json").read_text())
        return note

    def family(self) -> set[int]:
        """All living processes below it."""
        note = leftovers.read(self.var / "up.json")
        return leftovers.belonging(note) if note else set()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first start leaves its folder, so that later tests need not wait for demo data again."""
    return tmp_path_factory.mktemp("first")


@pytest.fixture
def furnished(first: Path, tmp_path: Path) -> None:
    """The test begins with what an ended `up` left, if one ended before."""
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Start an `up` on a free port; whatever the test does, nothing stays behind."""
    started: list[Up] = []

    def begin(port: int | None = None, **environment: str) -> Up:
        started.append(Up(tmp_path, port or free_port(near=0), **environment))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait(10)
        if one.process.stdout:
            one.process.stdout.close()
    # By the folder they work in, so that a broken `up`, too, leaves nothing behind.
    for pid in living(f"VAR_DIR={tmp_path}"):
        os.kill(pid, signal.SIGKILL)


def living(entry: str) -> list[int]:
    """The processes whose environment holds an entry."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if entry.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def get(up: Up, path: str) -> str:
    """The page at a path."""
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}{path}", timeout=20) as answer:
        text: str = answer.read().decode()
        return text


def beside(var: Path, expression: str) -> str:
    """What a command typed in another terminal takes a setting for."""
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "config.settings"}
    script = f"from django.conf import settings; print({expression})"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    return result.stdout.strip()


def test_it_runs_stops_and_runs_again(start: Any, tmp_path: Path, first: Path):
    """Pages and their styles are served, the keys stay the same, and Ctrl-C leaves no process behind."""
    up = start()
    up.until(READY)
    assert "What this mail server does" in get(up, "/demo/mail/")
    assert "Log in" in get(up, "/admin/login/")
    styles = next(word for word in get(up, "/admin/login/").split('"') if word.endswith(".css"))
    assert "{" in get(up, styles)
    [server] = [line.split()[-1] for line in up.said if "Mail server" in line]
    assert beside(tmp_path, "settings.EMAIL_DELIVERY_URL") == f"['{server}']"
    family, keys = up.family(), (tmp_path / "secrets.env").read_text()
    assert len(family) >= 4
    assert up.end(signal.SIGINT) == 0
    assert not any(leftovers.began(pid) for pid in family)
    assert not (tmp_path / "up.json").exists()
    assert beside(tmp_path, "settings.EMAIL_DELIVERY_URL") == "['console://']"

    again = start(up.port)
    again.until(READY)
    assert (tmp_path / "secrets.env").read_text() == keys
    assert again.end(signal.SIGTERM) == 0
    shutil.copytree(tmp_path, first, dirs_exist_ok=True)


@pytest.mark.usefixtures("furnished")
def test_what_a_killed_one_left_is_ended_by_the_next(start: Any):
    """kill -9 leaves the children alone with the port; the next start takes both back."""
    killed = start()
    killed.until(READY)
    orphans = killed.family()
    killed.end(signal.SIGKILL)
    assert any(leftovers.began(pid) for pid in orphans)

    up = start(killed.port)
    assert "ending what an earlier start left" in up.until(" processes")
    up.until(READY)
    assert not any(leftovers.began(pid) for pid in orphans)
    assert up.family().isdisjoint(orphans)
    assert up.end(signal.SIGINT) == 0


@pytest.mark.usefixtures("furnished")
def test_a_second_one_and_a_dying_child_do_no_harm(start: Any):
    """The second says so in one sentence; the workers' main process is killed, and the web server never notices."""
    up = start()
    up.until(READY)
    second = start()
    assert str(up.process.pid) in second.until("already runs here")
    assert second.process.wait(20) == 1

    mark = f"{leftovers.CHILD}=work".encode()
    below = {other for other in up.family() if mark in Path(f"/proc/{other}/environ").read_bytes()}
    pid = up.note()["children"]["work"][0]
    assert pid in below
    os.kill(pid, signal.SIGKILL)
    up.until("was killed by SIGKILL")
    up.until("workers and schedules: started again")
    assert not any(leftovers.began(other) for other in below)
    assert up.note()["children"]["work"][0] != pid
    assert "What this mail server does" in get(up, "/demo/mail/")
    assert up.end(signal.SIGINT) == 0


def test_a_taken_port_is_one_sentence(start: Any):
    """No traceback, and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        up = start(other.getsockname()[1])
        assert "PORT=" in up.until("is taken by another program")
        assert up.process.wait(20) == 1
        assert "Traceback" not in "".join(up.said)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "http"}, "Cannot read the setting PORT: expected a number from 1 to 65535"),
        ({"BIND": "203.0.113.1"}, "check BIND"),
        ({"DATABASE_URL": "postgres://u:hunter2@127.0.0.1:1/x"}, "bringing the database up to date failed"),
    ],
)
def test_what_cannot_start_says_why(start: Any, environment: dict[str, str], sentence: str):
    """Status 1, one clear sentence first, no password."""
    up = start(**environment)
    up.until(sentence)
    assert up.process.wait(20) == 1
    assert "hunter2" not in "".join(up.said)
