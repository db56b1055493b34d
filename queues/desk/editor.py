"""`Editor`: which fields of a queue's items staff may edit, and how; its refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class Protected(ValueError):
    """Fields that nobody may change. `names` are they."""

    def __init__(self, names: list[str], editable: tuple[str, ...]) -> None:
        self.names = names
        may = f"may be edited: {', '.join(editable)}" if editable else "nothing of this queue's items may be edited"
        super().__init__(f"{', '.join(names)}: protected; {may}")


class Invalid(ValueError):
    """A value that the item cannot have. `name` says of which field."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"{name}: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """What of a queue's items may be edited."""

    fields: tuple[str, ...]
    columns: Callable[[Any, Mapping[str, Any]], dict[str, Any]]
    """Item and wished fields → the columns that differ then. Raises `Invalid`."""
    hidden: tuple[str, ...] = ()
    """Columns that are contents: their values are for who may view payloads alone."""
    shown: tuple[str, ...] = ()
    """Columns that a difference shows, in order; the others follow from them."""
