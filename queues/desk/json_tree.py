"""JSON as nested <details>: folded below its third level, readable and findable without script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from queues.desk.masking import Mask

NODES_MAX = 4000
DEPTH_MAX = 40
OPEN_TO = 3
"""Levels that are open at first."""
TEXT_MAX = 2000


def draw(value: Any) -> SafeString:
    """The tree. What goes beyond `NODES_MAX` values or `DEPTH_MAX` levels is cut, and says so."""
    return format_html('<div class="json">{}</div>', _node("", value, 0, iter(range(NODES_MAX))))


def _node(key: str, value: Any, depth: int, room: Iterator[int]) -> SafeString:
    if next(room, None) is None or depth > DEPTH_MAX:
        return mark_safe('<div class="json-leaf">…</div>')
    name = format_html('<span class="json-key">{}</span> ', key) if key else ""
    if not isinstance(value, dict | list) or not value:
        return format_html('<div class="json-leaf">{}{}</div>', name, _leaf(value))
    pairs = value.items() if isinstance(value, dict) else ((str(place), each) for place, each in enumerate(value))
    inner = format_html_join("", "{}", ((each,) for each in _children(pairs, depth, room)))
    return format_html(
        '<details class="json-branch"{}><summary>{}<span class="json-size">{}</span></summary>{}</details>',
        mark_safe(" open") if depth < OPEN_TO else "",
        name,
        _size(value),
        inner,
    )


def _children(pairs: Any, depth: int, room: Iterator[int]) -> Iterator[SafeString]:
    for place, (key, each) in enumerate(pairs):
        if place > NODES_MAX:
            return
        yield _node(str(key), each, depth + 1, room)


def _leaf(value: Any) -> SafeString:
    if isinstance(value, Mask):
        return mark_safe('<span class="json-masked">hidden</span>')
    text = json.dumps(value, ensure_ascii=False)
    kind = "text" if isinstance(value, str) else "empty" if value is None or value in ({}, []) else "plain"
    return format_html('<span class="json-{}">{}</span>', kind, text[:TEXT_MAX] + ("…" if len(text) > TEXT_MAX else ""))


def _size(value: dict[str, Any] | list[Any]) -> str:
    word = "field" if isinstance(value, dict) else "entry"
    plural = {"field": "fields", "entry": "entries"}[word]
    return f"{len(value)} {word if len(value) == 1 else plural}"
