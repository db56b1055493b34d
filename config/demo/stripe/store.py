"""Keeps the demo's fake account between requests: one JSON file, changed by one request at a time."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.demo.stripe.account import Account

KEPT = 200
"""Events, objects of older ones, keys and deliveries: the demo is for an afternoon."""


@dataclass
class Book:
    """The account, what was answered to which idempotency key, and how its deliveries went."""

    account: Account
    keys: dict[str, list[Any]] = field(default_factory=dict)
    deliveries: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def opened(folder: Path, *, page_url: str = "") -> Iterator[Book]:
    """The book as it is now; what was changed inside the block is kept. Others wait meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "account.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = json.loads(path.read_text()) if path.exists() else {}
        account = Account(
            clock=time.time, objects=kept.get("objects", {}), events=kept.get("events", []), page_url=page_url
        )
        book = Book(account=account, keys=kept.get("keys", {}), deliveries=kept.get("deliveries", []))
        yield book
        fresh = path.with_suffix(".new")
        fresh.write_text(
            json.dumps(
                {
                    "objects": dict(list(account.objects.items())[-5 * KEPT :]),
                    "events": account.events[-KEPT:],
                    "keys": dict(list(book.keys.items())[-KEPT:]),
                    "deliveries": book.deliveries[-KEPT:],
                }
            )
        )
        os.replace(fresh, path)
