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
        self.shown = 0

    def tick(self) -> None:
        """Show that it still runs, once a second; silent for the first."""
        seconds = int(time.monotonic() - self.begun)
        if seconds <= self.shown:
            return
        if self.live:
            print(f"\r{self.name:<{WIDTH}} {self.says} … {seconds} s", end="", flush=True)
        elif not self.shown:
            line(self.name, f"{self.says} …")
        self.shown = seconds

    def end(self, words: str = "") -> None:
        """Show that it is over, and how long it took."""
        start = "\r\x1b[K" if self.live and self.shown else ""
        took = f" ({time.monotonic() - self.begun:.1f} s)"
        print(f"{start}{self.name:<{WIDTH}} {self.says}{words}{took}", flush=True)


def welcome(plan: Plan, logins: Mapping[str, str]) -> None:
    """Print the address, the log-ins and what is where."""
    rows = [("Admin", "/admin/")]
    if plan.catcher:
        rows.append(("Sent mail", "/demo/mail/"))
    if plan.fake_stripe:
        rows += [("Shop", "/demo/shop/"), ("Fake Stripe", "/demo/stripe/")]
    places = "\n".join(f"  {what:<14}{plan.url}{path}" for what, path in rows)
    people = "\n".join(f"  {name:<14}{password}" for name, password in logins.items())
    mail = f"  {'Mail server':<14}{plan.environment['EMAIL_DELIVERY_URL']}" if plan.catcher else ""
    print(
        f"\nRedrive runs at {plan.url}\n\n{places}\n{mail}\n\nLog-ins (name, password)\n{people}\n\n"
        f"  Logs and data {plan.var}\n  Stop with Ctrl-C.\n",
        flush=True,
    )
