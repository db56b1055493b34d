"""What an edit changed, drawn for people: a value before and after, or the changed lines of a text."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queues.desk.editor import Editor
from queues.engine import revisions
from queues.engine.revisions import Revision

LINES_MAX = 200
CONTEXT = 2


@dataclass(frozen=True, slots=True)
class Line:
    """`sign` is "-", "+" or " "."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one column; `lines` None: its values are not for this viewer."""

    name: str
    lines: tuple[Line, ...] | None


def of_item(*, queue: str, item_id: int, editor: Editor | None, seen: bool) -> list[tuple[Revision, list[Difference]]]:
    """The edits of an item, newest first, each with its differences."""
    return [
        (each, of(editor=editor, before=each.before, after=each.after, seen=seen))
        for each in reversed(revisions.of_item(queue=queue, item_id=item_id))
    ]


def of(*, editor: Editor | None, before: Mapping[str, Any], after: Mapping[str, Any], seen: bool) -> list[Difference]:
    """The differences to show, contents only to who has asked to see them (`seen`)."""
    shown = editor.shown if editor is not None else tuple(after)
    hidden = editor.hidden if editor is not None else tuple(after)
    names = [name for name in shown if name in after]
    return [
        Difference(name, lines(before.get(name), after[name]) if seen or name not in hidden else None) for name in names
    ]


def lines(before: Any, after: Any) -> tuple[Line, ...]:
    """The changed lines with two around them."""
    compared = difflib.unified_diff(_text(before), _text(after), lineterm="", n=CONTEXT)
    found = [Line(line[0], line[1:]) for line in compared if not line.startswith(("---", "+++", "@@"))]
    cut = [Line(" ", "[cut here]")] if len(found) > LINES_MAX else []
    return tuple(found[:LINES_MAX] + cut)


def _text(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return value.splitlines()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
