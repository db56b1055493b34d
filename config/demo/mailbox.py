"""What the catcher caught: a small SQLite file that the catcher writes and the page reads.

Not one of our models: the catcher stands for somebody else's mail server, and stays simple enough to be believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

KEPT = 1000
PAGE = 50

MODES: dict[str, str] = {
    "accept": "Accept every mail",
    "refuse_now": "Refuse for now (451)",
    "refuse_always": "Refuse for good (550)",
    "drop": "Hang up before the mail",
    "drop_after_data": "Take the mail, hang up before answering",
    "slow": "Answer after 10 seconds",
}

TABLES = """
CREATE TABLE IF NOT EXISTS mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL,
    subject TEXT NOT NULL, raw BLOB NOT NULL, answered INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1), mode TEXT NOT NULL, turned_away INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 'accept', 0);
PRAGMA user_version = 1;
"""


@dataclass(frozen=True)
class Mail:
    """One mail; `answered` is False if the catcher hung up instead of saying that it took it."""

    pk: int
    at: datetime
    sender: str
    recipients: list[str]
    subject: str
    size: int
    answered: bool


@dataclass(frozen=True)
class State:
    """What the catcher does now, and how many mails it has turned away since it was told so."""

    mode: str
    turned_away: int

    @property
    def words(self) -> str:
        """The mode in words."""
        return MODES[self.mode]


class Mailbox:
    """The file; each call opens it for itself, so that any thread and any process may ask."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection inside a transaction. What a demo caught need not survive a power cut."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=10)
        try:
            connection.execute("PRAGMA synchronous=OFF")
            if connection.execute("PRAGMA user_version").fetchone() == (0,):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.executescript(TABLES)
            with connection:
                yield connection
        finally:
            connection.close()

    def keep(
        self, *, sender: str, recipients: list[str], subject: str, raw: bytes, answered: bool, now: datetime
    ) -> None:
        """Add a mail and forget the oldest beyond KEPT."""
        row = (now.isoformat(), sender, "\n".join(recipients), subject, raw, answered)
        with self.open() as connection:
            added = connection.execute(
                "INSERT INTO mail (at, sender, recipients, subject, raw, answered) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            connection.execute("DELETE FROM mail WHERE id <= ?", ((added.lastrowid or 0) - KEPT,))

    def turn_away(self) -> None:
        """Count a mail that was refused or dropped."""
        with self.open() as connection:
            connection.execute("UPDATE state SET turned_away = turned_away + 1")

    def state(self) -> State:
        """Return what the catcher does now."""
        with self.open() as connection:
            mode, turned_away = connection.execute("SELECT mode, turned_away FROM state").fetchone()
            return State(mode if mode in MODES else "accept", turned_away)

    def set_mode(self, mode: str) -> None:
        """Tell the catcher what to do from the next mail on; raises KeyError for an unknown mode."""
        MODES[mode]
        with self.open() as connection:
            connection.execute("UPDATE state SET mode = ?, turned_away = 0", (mode,))

    def page(self, *, before: int | None = None) -> list[Mail]:
        """Return the newest mails, at most PAGE + 1 (one more says that there is another page), older than `before`."""
        with self.open() as connection:
            rows = connection.execute(
                "SELECT id, at, sender, recipients, subject, length(raw), answered FROM mail"
                " WHERE id < ? ORDER BY id DESC LIMIT ?",
                (before or 2**62, PAGE + 1),
            )
            return [_mail(row) for row in rows]

    def count(self) -> int:
        """Return how many mails are kept."""
        with self.open() as connection:
            return int(connection.execute("SELECT COUNT(*) FROM mail").fetchone()[0])

    def get(self, pk: int) -> tuple[Mail, bytes] | None:
        """Return a mail and its bytes, or None if it is not, or no longer, there."""
        with self.open() as connection:
            row = connection.execute(
                "SELECT id, at, sender, recipients, subject, length(raw), answered, raw FROM mail WHERE id = ?", (pk,)
            ).fetchone()
            return (_mail(row[:7]), bytes(row[7])) if row else None

    def empty(self) -> None:
        """Forget all mails."""
        with self.open() as connection:
            connection.execute("DELETE FROM mail")


def _mail(row: tuple[int, str, str, str, str, int, int]) -> Mail:
    pk, at, sender, recipients, subject, size, answered = row
    return Mail(pk, datetime.fromisoformat(at), sender, recipients.split("\n"), subject, size, bool(answered))


def now() -> datetime:
    """The catcher's clock."""
    return datetime.now(UTC)
