"""Reads the settings that differ between environments (DESIGN 4.2) from a mapping of strings.

Every function takes the text as written by the operator and raises `BadSetting`, whose message names the setting and
what was expected, and never repeats the value: it may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})

DEFAULT_RATE_LIMITS = {
    "email": (100, 60),
    "email.recipient": (10, 60),
    "checkout.user": (10, 3600),
    "checkout.address": (20, 3600),
    "push.user": (10, 3600),
    "push.campaign": (100, 3600),
    "push.register": (60, 3600),
    "stripe.read": (50, 1),
}
"""Name -> (units, window in seconds), DESIGN 3.4."""

SQLITE_INIT = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000"
"""FULL, because what was acknowledged must survive a power cut; WAL, so that readers and the writer do not wait."""

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadSetting(ImproperlyConfigured):
    """A setting cannot be read; `name` is its name."""

    def __init__(self, name: str, expected: str) -> None:
        self.name = name
        super().__init__(f"{name}: {expected}")


def flag(values: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Return a yes/no setting."""
    text = values.get(name)
    if text is None:
        return default
    word = text.strip().lower()
    if word not in TRUE | FALSE:
        raise BadSetting(name, "expected 1 or 0")
    return word in TRUE


def words(values: Mapping[str, str], name: str, *, default: str = "") -> list[str]:
    """Return a comma-separated setting as its non-empty, trimmed parts."""
    return [part.strip() for part in values.get(name, default).split(",") if part.strip()]


def rate_limits(values: Mapping[str, str], name: str = "RATE_LIMITS") -> dict[str, tuple[int, int]]:
    """Return the limits, name -> (units, window in seconds): the defaults, overridden by `email=100/60,...`."""
    limits = dict(DEFAULT_RATE_LIMITS)
    for part in words(values, name):
        match = re.fullmatch(r"([a-z][a-z_.]{0,49})\s*=\s*([0-9]{1,9})\s*/\s*([0-9]{1,7})", part)
        if match is None or int(match[3]) == 0:
            raise BadSetting(name, "expected parts like email=100/60 (units per seconds), separated by commas")
        limits[match[1]] = (int(match[2]), int(match[3]))
    return limits


def networks(values: Mapping[str, str], name: str) -> list[Network]:
    """Return a comma list of addresses and networks (`10.0.0.0/8, ::1`)."""
    try:
        return [ipaddress.ip_network(part, strict=False) for part in words(values, name)]
    except ValueError:
        raise BadSetting(name, "expected addresses or networks like 10.0.0.0/8, separated by commas") from None


def port(values: Mapping[str, str]) -> int:
    """Return PORT, the web server's."""
    text = values.get("PORT") or "8000"
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise BadSetting("PORT", "expected a number from 1 to 65535")
    return int(text)


def number(values: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """Return a whole number within bounds."""
    text = values.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise BadSetting(name, f"expected a number from {least} to {most}")
    return int(text)


def days(values: Mapping[str, str], name: str, *, default: int) -> int:
    """Return a number of days, from 1 to 36,500."""
    text = values.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 1 <= int(text) <= 36_500:
        raise BadSetting(name, "expected a number of days from 1 to 36500")
    return int(text)


def base_url(values: Mapping[str, str], *, default: str) -> str:
    """Return BASE_URL without its trailing slash."""
    url = values.get("BASE_URL", default).strip().rstrip("/")
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
        good = good and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise BadSetting("BASE_URL", "expected an address like https://redrive.example.com")
    return url


def database(url: str, *, name: str = "DATABASE_URL", root: Path) -> dict[str, Any]:
    """Return Django's settings of the database at `url`.

    `sqlite:///relative/to/root.db`, `sqlite:////absolute.db`, `postgres://user:password@host:5432/name?sslmode=require`;
    the query's parts go to libpq. A password's special characters are percent-encoded.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadSetting(name, "not a URL; percent-encode special characters of the password") from None
    path = unquote(parts.path.removeprefix("/"))
    if parts.scheme in {"sqlite", "sqlite3"} and path:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(root / path),
            "CONN_MAX_AGE": 60,
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": SQLITE_INIT},
        }
    if parts.scheme in {"postgres", "postgresql"} and path:
        # No psycopg pool: django-q2 forks, and a pool inherited by a fork corrupts its connections.
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": path,
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            # Only the engine's own statements are prepared (queues.engine.statements); psycopg counts from 0.
            "OPTIONS": {
                "connect_timeout": 5,
                "application_name": "redrive",
                "prepare_threshold": 3,
                **{
                    option: int(value)
                    if option == "prepare_threshold" and value.isascii() and value.isdigit()
                    else value
                    for option, value in parse_qsl(parts.query)
                },
            },
        }
    raise BadSetting(name, "expected sqlite:///file.db or postgres://user:password@host:5432/name")
