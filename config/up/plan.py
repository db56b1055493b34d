"""What `up` starts: the environment of its children, the steps that prepare, the children that stay."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.core.management import get_commands

from config import environment as settings_environment

ROOT = Path(__file__).resolve().parent.parent.parent
FAKE_STRIPE_KEY = "sk_test_fake_stripe_of_the_demo"
"""Opens the fake Stripe under /demo/ (config/demo/stripe) and nothing else."""
MANAGE = (sys.executable, str(ROOT / "manage.py"))


class CannotStart(Exception):
    """One sentence for the person at the terminal."""


@dataclass(frozen=True)
class Command:
    """A name for the terminal and the log file, what is said about it, and the command line."""

    name: str
    says: str
    line: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything `up` needs to know before it starts anything."""

    bind: str
    port: int
    url: str
    var: Path
    environment: dict[str, str] = field(repr=False)
    catcher: bool = False
    fake_stripe: bool = False

    @property
    def told(self) -> tuple[str, ...]:
        """The settings that commands in another terminal get from var/up.env, so that they do the same as the children.

        A delivery address of the operator's own is not among them: it may hold a password.
        """
        mail = ("EMAIL_DELIVERY_URL", "ALERT_EMAILS") if self.catcher else ()
        stripe = ("STRIPE_API_KEY", "STRIPE_API_BASE", "CHECKOUT_RETURN_URL") if self.fake_stripe else ()
        return ("BASE_URL", *mail, *stripe)

    @property
    def steps(self) -> list[Command]:
        """What prepares, one after the other."""
        return [
            manage("migrate", "bringing the database up to date", "--verbosity", "1", "--no-input"),
            manage("collectstatic", "collecting static files", "--verbosity", "0", "--no-input"),
            manage("demo_data", "making demo data", optional=True),
        ]

    @property
    def children(self) -> list[Command]:
        """What stays until the end, in the order of starting; stopped in the opposite order."""
        workers = "work" if "work" in get_commands() else "qcluster"
        wanted = [manage("web", "web server")]
        wanted.insert(0, Command("work", "workers and schedules", (*MANAGE, workers)))
        if self.catcher:
            port = self.environment["DEMO_CATCHER_PORT"]
            line = (sys.executable, "-m", "config.demo.catcher", "--port", port, "--var", str(self.var))
            wanted.insert(0, Command("mail", "mail catcher", line))
        return wanted


def make(*, environment: Mapping[str, str], var: Path) -> Plan:
    """Return the plan for this environment (secrets included); raises CannotStart if the port is taken."""
    bind = environment.get("BIND") or "127.0.0.1"
    port = settings_environment.port(environment)
    claim_free(bind=bind, port=port, names="PORT")
    catcher = not environment.get("EMAIL_DELIVERY_URL")
    children = dict(environment)
    children |= {"DEMO": "1", "PYTHONUNBUFFERED": "1", "VAR_DIR": str(var), "PORT": str(port), "BIND": bind}
    if not is_loopback(bind):
        children.setdefault("ALLOWED_HOSTS", "*")  # reached by whatever name this machine has on its network
    if catcher:
        children["DEMO_CATCHER_PORT"] = str(free_port(near=port + 1))
        children["EMAIL_DELIVERY_URL"] = f"smtp://127.0.0.1:{children['DEMO_CATCHER_PORT']}"
        children.setdefault("ALERT_EMAILS", "operator@example.com")  # into the demo's own mailbox
    host = "localhost" if is_loopback(bind) or is_any(bind) else bind
    url = children.get("BASE_URL") or f"http://{f'[{host}]' if ':' in host else host}:{port}"
    children["BASE_URL"] = url
    fake_stripe = not environment.get("STRIPE_API_KEY")
    if fake_stripe:
        reached = f"http://127.0.0.1:{port}" if is_loopback(bind) or is_any(bind) else url
        children |= {"STRIPE_API_KEY": FAKE_STRIPE_KEY, "STRIPE_API_BASE": f"{reached}/demo/stripe"}
        children.setdefault("CHECKOUT_RETURN_URL", f"{url}/demo/shop/")
    return Plan(bind=bind, port=port, url=url, var=var, environment=children, catcher=catcher, fake_stripe=fake_stripe)


def manage(name: str, says: str, *arguments: str, optional: bool = False) -> Command:
    """Return a `manage.py` command of that name."""
    return Command(name, says, (*MANAGE, name, *arguments), optional)


def claim_free(*, bind: str, port: int, names: str) -> None:
    """Raise CannotStart if nobody could listen on that address now."""
    try:
        family, _, _, _, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        why = {
            errno.EADDRINUSE: f"Port {port} is taken by another program; take another one: {names}={port + 10} make up",
            errno.EACCES: f"Port {port} needs more rights than you have; choose one above 1023 with {names}.",
        }
        raise CannotStart(
            why.get(error.errno or 0, f"Cannot listen on {bind}: {error.strerror}; check BIND.")
        ) from None


def free_port(*, near: int) -> int:
    """Return `near` if nobody listens there on loopback, else any free port."""
    for port in (near, 0):
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
        except (OSError, OverflowError):
            continue
    raise CannotStart("No free port for the mail catcher on 127.0.0.1.")


def is_loopback(bind: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"


def is_any(bind: str) -> bool:
    """Whether the address means all addresses of this machine."""
    return bind in {"0.0.0.0", "::", ""}


def log_file(var: Path, name: str) -> Path:
    """Return where a child's words go; what an earlier start wrote stays beside it as `.1`."""
    path = var / "log" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size:
        os.replace(path, path.with_suffix(".log.1"))
    return path
