"""How items were before an act, so that it can be undone: the columns that it changed, as JSON holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from queues.engine.item import QueueItem

COLUMNS = (
    "status",
    "priority",
    "due_at",
    "expires_at",
    "attempts",
    "waits_for",
    "uncertain_at",
    "last_code",
    "last_words",
    "succeeded_at",
    "cancelled_at",
    "dead_at",
    "hidden_at",
)
"""What an act of staff may change of an item, and an undo puts back."""


def look(items: Iterable[QueueItem]) -> dict[int, dict[str, Any]]:
    """Item id → its version and columns, moments to the microsecond. The items have been read with `COLUMNS`."""
    return {item.pk: {"version": item.version} | _values(item) for item in items}


def changed(earlier: Mapping[int, dict[str, Any]], later: Mapping[int, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each item that made exactly one transition in between: its id as text → the changed columns, before."""
    return {
        str(pk): {name: was[name] for name in COLUMNS if was[name] != later[pk][name]}
        for pk, was in earlier.items()
        if pk in later and later[pk]["version"] == was["version"] + 1
    }


def read(model: type[QueueItem], values: Mapping[str, Any]) -> dict[str, Any]:
    """Kept columns as the model has them."""
    return {name: model._meta.get_field(name).to_python(value) for name, value in values.items()}  # type: ignore[union-attr]


def _values(item: QueueItem) -> dict[str, Any]:
    values = {name: getattr(item, name) for name in COLUMNS}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
