"""The secrets file, `var/secrets.env`: written once by the first `manage.py up`, mode 0600; the environment wins."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec


def read(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of the file; nothing if it is not there or not ours to read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, PermissionError):
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, found, value in pairs if found}


def over(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the file's values where it has none, or an empty one."""
    return {**environment, **{name: value for name, value in read(path).items() if not environment.get(name)}}


def ensure(path: Path) -> None:
    """Add what is missing to the file and keep what is there.

    The new file replaces the old one in one step, so that a killed start never leaves half a key.
    """
    known = read(path)
    missing = {name: make() for name, make in MAKERS.items() if name not in known}
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = known | missing
        lines = ["# Written once by manage.py up. Keep it private; the environment wins over it.", ""]
        lines += [f"{name}={value}" for name, value in written.items()]
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    path.chmod(0o600)


def vapid_key() -> str:
    """Return a new private key for Web Push: the raw 32 bytes in base64url, as the push tools write it (RFC 8292)."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def password() -> str:
    """Return a password that can be typed from a terminal: 12 letters and digits without look-alikes, 58 bits."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(3))


MAKERS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "LEDGER_KEY": lambda: secrets.token_urlsafe(32),
    "VAPID_PRIVATE_KEY": vapid_key,
    "STRIPE_WEBHOOK_SECRETS": lambda: f"whsec_{secrets.token_hex(24)}",
    "ANYMAIL_WEBHOOK_SECRET": lambda: f"demo:{secrets.token_hex(16)}",
    "DEMO_ADMINISTRATOR_PASSWORD": password,
    "DEMO_OPERATOR_PASSWORD": password,
    "DEMO_OBSERVER_PASSWORD": password,
    "DEMO_CUSTOMER_PASSWORD": password,
}
