"""What `up` prints: progress of what takes longer than a second, children's lines, what is where."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from config.up.plan import Plan

WIDTH = 10


def line(name: str, words: str) -> None:
    """Print one line, beginning with who says it."""
    print(f"{name:<{WIDTH}} {words}", flush=True)


class Progress:
    """One line for a step: on a terminal it counts the seconds, elsewhere it appears when the step is over."""

    def __init__(self, name: str, says: str) -> None:
        self.name = name
        self.says = says
        self.begun = time.monotonic()
        self.live = sys.stdout.isatty()
        self.announced = False

    def tick(self) -> None:
        """Show that it still runs; silent for the first second."""
        seconds = time.monotonic() - self.begun
        if seconds < 1:
            return
        if self.live:
            print(f"\r{self.name:<{WIDTH}} {self.says} … {seconds:.0f} s", end="", flush=True)
        elif not self.announced:
            line(self.name, f"{self.says} …")
        self.announced = True

    def end(self, words: str = "") -> None:
        """Show that it is over, and how long it took."""
        start = "\r\x1b[K" if self.live and self.announced else ""
        took = f" ({time.monotonic() - self.begun:.1f} s)"
        print(f"{start}{self.name:<{WIDTH}} {self.says}{words}{took}", flush=True)


def welcome(plan: Plan, logins: Mapping[str, str]) -> None:
    """Print the address, the log-ins and what is where."""
    rows = [("Admin", "/admin/")]
    if plan.catcher:
        rows.append(("Sent mail", "/demo/mail/"))
    places = "\n".join(f"  {what:<14}{plan.url}{path}" for what, path in rows)
    people = "\n".join(f"  {name:<14}{password}" for name, password in logins.items())
    mail = f"  {'Mail server':<14}{plan.environment['EMAIL_DELIVERY_URL']}" if plan.catcher else ""
    print(
        f"\nRedrive runs at {plan.url}\n\n{places}\n{mail}\n\nLog-ins (name, password)\n{people}\n\n"
        f"  Logs and data {plan.var}\n  Stop with Ctrl-C.\n",
        flush=True,
    )
