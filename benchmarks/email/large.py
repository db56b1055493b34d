"""Fills a contender's tables by SQL: copies of its one pending row, and finished rows as it would have left them."""

from __future__ import annotations

import dataclasses

from benchmarks.email import postgres
from benchmarks.email.contenders import Contender


@dataclasses.dataclass(frozen=True)
class Copies:
    """How rows of `table` are made from its first row: the columns that differ, as SQL over `n` (1, 2, 3, …).

    Every mail has its own recipient, as limits and suppressions are kept by recipient.
    """

    table: str
    columns: dict[str, str]
    source: str = ""


ADDRESS = "'user' || n || '@example.net'"
PENDING = {
    "redrive": Copies(
        "queues_emailmessage",
        {
            "idempotency_key": "'copy-' || n",
            "message_id": "'<' || n || '@example.com>'",
            "to": f"jsonb_build_array({ADDRESS})",
            "recipients": f"jsonb_build_array({ADDRESS})",
            "recipient": ADDRESS,
            "headers": "jsonb_build_array(jsonb_build_array('X-Bench-Id', n::text))",
        },
    ),
    "post_office": Copies("post_office_email", {"to": ADDRESS}),
    "django_mailer": Copies("mailer_message", {}),
    "raw": Copies("raw_mail", {"number": "n", "recipient": ADDRESS}),
}
FINISHED = {
    "redrive": Copies(
        "queues_emailmessage",
        {
            "idempotency_key": "'done-' || n",
            "message_id": "'<done-' || n || '@example.com>'",
            "status": "'succeeded'",
            "succeeded_at": "now()",
            "attempts": "1",
            "runs": "1",
            "provider": "'smtp'",
        },
    ),
    "post_office": Copies("post_office_email", {"status": "0"}),
    "django_mailer": Copies(
        "mailer_messagelog",
        {
            "message_id": "'<' || n || '@example.com>'",
            "when_attempted": "now()",
            "result": "'1'",
            "log_message": "''",
        },
        source="mailer_message",
    ),
    "raw": Copies("raw_mail", {"number": "n", "status": "1"}),
}


def fill(contender: Contender, *, pending: int, finished: int) -> None:
    """Bring the tables to `pending` waiting mails (one is there already) beside `finished` ones."""
    # Finished first: in a grown table the waiting rows are the youngest.
    _copy(contender.database, FINISHED[contender.module], finished)
    _copy(contender.database, PENDING[contender.module], pending - 1)


def _copy(database: str, copies: Copies, number: int) -> None:
    if number <= 0:
        return
    source = copies.source or copies.table
    shared = _columns(database, copies.table) & (_columns(database, source) | copies.columns.keys())
    names = sorted(shared - {"id"} | copies.columns.keys())
    quoted = [f'"{name}"' for name in names]  # `to` is a word of SQL
    values = [copies.columns.get(name, f't."{name}"') for name in names]
    postgres.execute(
        database,
        f"INSERT INTO {copies.table} ({', '.join(quoted)}) SELECT {', '.join(values)}"
        f" FROM (SELECT * FROM {source} ORDER BY id LIMIT 1) t, generate_series(1, {number}) n",
    )


def _columns(database: str, table: str) -> set[str]:
    query = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
    return {str(name) for (name,) in postgres.fetch(database, query)}
