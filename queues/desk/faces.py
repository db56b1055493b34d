"""`Face`: how the desk names, finds and judges the items of one queue; each queue's admin registers its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from queues.desk.editor import Editor
from queues.desk.filters import Field
from queues.engine.item import QueueItem
from queues.engine.states import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What only the queue itself knows about its items."""

    queue: str
    model: type[QueueItem]
    title: Callable[[QueueItem], str]
    """Who or what it is about, for a list (a recipient, an event type)."""
    find: Callable[[str], Q | None]
    """The rows an exact search text names, by indexed columns only; None if it can name none."""
    find_help: str
    fields: tuple[Field, ...] = ()
    """Fields of the filter language that only this queue has."""
    listed: tuple[str, ...] = ()
    """Text columns that a list shows; all other texts and payloads are left in the database."""
    known_types: Callable[[], list[str]] = list
    words: dict[str, str] = field(default_factory=dict)
    """Its own words for states (`{"succeeded": "Sent"}`)."""
    unrunnable: Callable[[QueueItem], str] = lambda _item: ""
    """Why the item cannot run again, or ""."""
    contents: Callable[[Any], dict[str, Any]] = lambda _item: {}
    """What it carries, as JSON, for who may see it."""
    editor: Editor | None = None
    """What may be edited before a redrive; None: nothing."""
    stopped: Callable[[QueueItem, datetime], str] = lambda _item, _now: ""
    """Whose suppression will cancel the item when its turn comes, or ""."""

    def word(self, status: str) -> str:
        """The state as staff of this queue call it."""
        return self.words.get(status) or str(Status(status).label)


_faces: dict[str, Face] = {}


def register(face: Face) -> None:
    """Make a queue's face known to the desk."""
    _faces[face.queue] = face


def for_model(model: type[QueueItem]) -> Face:
    """The face of the queue whose items are rows of `model`; a plain one if it registered none."""
    plain = Face(queue="", model=model, title=str, find=lambda _text: None, find_help="Key or id")
    return next((face for face in _faces.values() if face.model is model), plain)


def all_faces() -> list[Face]:
    """The queues that have pages at the desk, by name."""
    return [_faces[queue] for queue in sorted(_faces)]
