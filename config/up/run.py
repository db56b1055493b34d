"""The life of an `up`: prepare, start, watch, stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from types import FrameType

from django.conf import settings

from config import secrets
from config.up import leftovers, plan, terminal
from config.up.children import Child, cut

LOOK = 0.2
"""Seconds between two looks at the children."""
PATIENCE = 60.0
"""Seconds the children get to end, as many as the workers' supervisor gives its own; then they are
killed, and the queues' leases run out."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(Exception):
    """Somebody asked `up` to stop while it was preparing."""


class Asked:
    """Whether, and how often, a signal asked us to stop."""

    def __init__(self) -> None:
        self.times = 0
        for number in SIGNALS:
            signal.signal(number, self.note)

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Remember the request; the main loop looks at it."""
        self.times += 1


def up(*, environment: Mapping[str, str]) -> int:
    """Run until a signal or the death of a child; returns the exit status."""
    asked = Asked()
    var: Path = settings.VAR_DIR
    try:
        var.mkdir(parents=True, exist_ok=True)
        lock = leftovers.sole(var / "up.lock")
        clean_up(var / "up.json", alone=lock is not None)
        secrets.ensure(settings.SECRETS_FILE)
        planned = plan.make(environment=secrets.over(settings.SECRETS_FILE, environment), var=var)
    except plan.CannotStart as reason:
        terminal.line("up", str(reason))
        return 1
    except OSError as error:
        terminal.line("up", f"Cannot write to {error.filename or var}: {error.strerror}.")
        return 1
    note = leftovers.Note(token_hex(16), os.getpid(), planned.url)
    planned.environment[leftovers.MARK] = note.mark
    note.write(var / "up.json")
    children: list[Child] = []
    try:
        settings.UP_FILE.write_text("".join(f"{name}={planned.environment[name]}\n" for name in planned.told))
        prepare(planned, asked)
        children = [start(command, planned, note) for command in planned.children]
        await_web(planned, children, asked)
        terminal.welcome(planned, {login: planned.environment.get(_key(login), "") for login in LOGINS})
        return watch(children, note, planned, asked)
    except Stop:
        return 0
    except plan.CannotStart as reason:
        terminal.line("up", str(reason))
        return 1
    finally:
        stop(children, note, asked)
        (var / "up.json").unlink(missing_ok=True)
        settings.UP_FILE.unlink(missing_ok=True)
        if lock:
            lock.close()


LOGINS = ("administrator", "operator", "observer", "customer")


def clean_up(path: Path, *, alone: bool) -> None:
    """End what a killed `up` left; refuse to run beside a living one, which shares our database and files."""
    note = leftovers.read(path)
    if not alone:
        where = f" at {note.url} (process {note.pid})" if note else ""
        raise plan.CannotStart(f"Redrive already runs here{where}; stop that one first.")
    if note and leftovers.belonging(note):
        progress = terminal.Progress("up", "ending what an earlier start left")
        count = leftovers.end(note, patience=PATIENCE, waiting=lambda _seconds: progress.tick())
        progress.end(f": {count} processes")


def prepare(planned: plan.Plan, asked: Asked) -> None:
    """Run the steps one after the other; raises CannotStart with a failing step's last words."""
    from django.core.management import get_commands

    for step in planned.steps:
        if step.optional and step.name not in get_commands():
            continue
        progress = terminal.Progress("up", step.says)
        log = plan.log_file(planned.var, step.name)
        with log.open("wb") as out:
            process = subprocess.Popen(
                step.line,
                cwd=plan.ROOT,
                env=planned.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        while process.poll() is None:
            if asked.times:
                process.terminate()
                process.wait()
                raise Stop
            progress.tick()
            time.sleep(0.05)
        if process.returncode:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
            raise plan.CannotStart(f"{step.says} failed (all of it is in {log}):\n{last}")
        progress.end()


def start(command: plan.Command, planned: plan.Plan, note: leftovers.Note) -> Child:
    """Start a child and note it, so that a later start finds it."""
    environment = planned.environment | {leftovers.CHILD: command.name}
    child = Child(command, environment=environment, log=plan.log_file(planned.var, command.name))
    begin(child, note, planned.var)
    return child


def begin(child: Child, note: leftovers.Note, var: Path) -> None:
    """Start a child's process, for the first time or again, and note it."""
    pid = child.start()
    note.children[child.command.name] = (pid, leftovers.began(pid))
    note.write(var / "up.json")


def await_web(planned: plan.Plan, children: list[Child], asked: Asked) -> None:
    """Wait until the web server takes connections; raises CannotStart if a child dies before, or after 60 s."""
    progress = terminal.Progress("up", "starting the web server, the workers and the mail catcher")
    host = "127.0.0.1" if plan.is_any(planned.bind) else planned.bind
    begun = time.monotonic()
    while True:
        if asked.times:
            raise Stop
        for child in children:
            if child.status is not None:
                child.new_lines()
                raise plan.CannotStart(f"{died(child)}\n" + "\n".join(f"  {line}" for line in child.last))
        try:
            socket.create_connection((host, planned.port), timeout=1).close()
        except OSError:
            if time.monotonic() - begun > 60:
                raise plan.CannotStart(f"The web server did not start; see {planned.var}/log/web.log") from None
            progress.tick()
            time.sleep(0.1)
        else:
            progress.end()
            return


def watch(children: list[Child], note: leftovers.Note, planned: plan.Plan, asked: Asked) -> int:
    """Show the children's lines and restart whoever dies, until a signal, or until one dies too often."""
    while not asked.times:
        for child in children:
            for line in child.new_lines():
                terminal.line(child.command.name, line)
            if child.status is None:
                continue
            terminal.line("up", died(child))
            if child.died_often(now=time.monotonic()):
                terminal.line("up", f"It died five times within a minute, so everything stops; see {child.log}")
                return 1
            leftovers.kill_below(note, child.command.name)
            begin(child, note, planned.var)
            terminal.line("up", f"{child.command.says}: started again")
        time.sleep(LOOK)
    return 0


def stop(children: list[Child], note: leftovers.Note, asked: Asked) -> None:
    """Stop the children, the mail catcher last, so that mails under way arrive; a second Ctrl-C kills at once."""
    if not children:
        leftovers.end(note, patience=2, waiting=lambda _seconds: None)
        return
    progress = terminal.Progress("up", "stopping")
    already = asked.times
    begun = time.monotonic()
    for group in ([c for c in children if c.command.name != "mail"], [c for c in children if c.command.name == "mail"]):
        for child in group:
            child.ask_to_stop()
        while any(child.status is None for child in group) and time.monotonic() - begun < PATIENCE:
            if asked.times > max(already, 1):
                break
            progress.tick()
            time.sleep(0.05)
    late = len(leftovers.belonging(note))
    leftovers.end(note, patience=0, waiting=lambda _seconds: None)
    progress.end(f": {late} processes had to be killed" if late else "")


def died(child: Child) -> str:
    """Say in one sentence how a child ended."""
    status = child.status or 0
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return cut(f"{child.command.says} {how}.")


def _key(login: str) -> str:
    return f"DEMO_{login.upper()}_PASSWORD"
