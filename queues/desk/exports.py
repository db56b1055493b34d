"""Items as CSV or NDJSON: streamed page by page, addresses masked, without contents, formula-safe, recorded."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from django.db import router, transaction

from queues.desk import faces, ledger
from queues.desk.ledger import LedgerEntry
from queues.desk.operations import Actor, needed
from queues.desk.selection import Selection
from queues.engine import registry

PAGE = 2000
COLUMNS: tuple[str, ...] = (
    "id",
    "status",
    "type",
    "title",
    "key",
    "priority",
    "attempts",
    "code",
    "words",
    "created_at",
    "due_at",
)
COLUMNS += ("succeeded_at", "cancelled_at", "dead_at", "purged_at")
READ: tuple[str, ...] = (
    "pk",
    "status",
    "kind",
    "idempotency_key",
    "priority",
    "attempts",
    "last_code",
    "last_words",
    "created_at",
)
READ += ("due_at", "succeeded_at", "cancelled_at", "dead_at", "hidden_at")
TITLES = ("recipient", "event_id", "user")
"""Columns that titles are made of, where a queue has them."""
_ADDRESS = re.compile(r"([^\s@<>\"'(),;:])[^\s@<>\"'(),;:]*@")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def begin(
    *, queue: str, selection: Selection, form: str, actor: Actor, reason: str, clock: Callable[[], datetime]
) -> Iterator[str]:
    """Record the export and return its lines; its end, with the number of items, is recorded when they were read.

    `form` is `csv` or `ndjson`. Raises PermissionDenied, ReasonMissing, LookupError, `grammar.Mistake`.
    """
    model = registry.get(queue).model
    actor.require("view", model)
    reason = needed(reason)
    selection.check(model)
    if form not in FORMS:
        raise LookupError(f"there is no form {form!r}; there are: {', '.join(FORMS)}")

    def note(act: str, result: dict[str, Any]) -> None:
        with transaction.atomic(using=router.db_for_write(LedgerEntry)):
            ledger.record(
                act=act,
                actor=actor.user,
                actor_name=actor.name,
                queue=queue,
                plan=selection.words,
                reason=reason,
                result={"form": form, **result},
                request_id=actor.request_id,
                count=result.get("items", 0),
                now=clock(),
            )

    note("export", {})
    return _lines(queue, selection, form, clock(), note)


def _lines(
    queue: str, selection: Selection, form: str, now: datetime, note: Callable[[str, dict[str, Any]], None]
) -> Iterator[str]:
    count = 0
    line = FORMS[form]
    try:
        if form == "csv":
            yield line(dict(zip(COLUMNS, COLUMNS, strict=True)))
        for row in rows(queue=queue, selection=selection, now=now):
            count += 1
            yield line(row)
    finally:
        note("export ended", {"items": count})


def rows(*, queue: str, selection: Selection, now: datetime) -> Iterator[dict[str, Any]]:
    """The items meant, newest first, masked; a page at a time, so that neither side holds them all."""
    model = registry.get(queue).model
    face = faces.for_model(model)
    light = [name for name in TITLES if any(field.name == name for field in model._meta.concrete_fields)]
    # Plain rows: making an object of each of a million costs more than the rest together.
    meant = selection.apply(model._default_manager.all(), now=now).order_by("-pk").values(*READ, *light, *face.listed)
    below: int | None = None
    while page := list((meant if below is None else meant.filter(pk__lt=below))[:PAGE]):
        for row in page:
            yield {
                "id": row["pk"],
                "status": row["status"],
                "type": row["kind"],
                "title": masked(face.title(SimpleNamespace(**row))),  # type: ignore[arg-type]  # has what titles read
                "key": masked(row["idempotency_key"]),
                "priority": row["priority"],
                "attempts": row["attempts"],
                "code": row["last_code"],
                "words": masked(row["last_words"]),
                "created_at": _at(row["created_at"]),
                "due_at": _at(row["due_at"]),
                "succeeded_at": _at(row["succeeded_at"]),
                "cancelled_at": _at(row["cancelled_at"]),
                "dead_at": _at(row["dead_at"]),
                "purged_at": _at(row["hidden_at"]),
            }
        below = page[-1]["pk"]


def masked(text: str) -> str:
    """The text with the people taken out of its addresses: `a…@example.com`."""
    return _ADDRESS.sub("\\1…@", text) if "@" in text else text


def _at(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


class _Line:
    """What a csv writer writes to: it only returns the line."""

    def write(self, line: str) -> str:
        return line


_writer = csv.writer(_Line())


def _csv(row: dict[str, Any]) -> str:
    # A spreadsheet runs what begins so (OWASP, "CSV injection"): the quotation mark makes it text.
    cells = [f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row.values()]
    return str(_writer.writerow(cells))


def _ndjson(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


FORMS: dict[str, Callable[[dict[str, Any]], str]] = {"csv": _csv, "ndjson": _ndjson}
TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
