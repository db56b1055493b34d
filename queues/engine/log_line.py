"""How a log line looks: JSON for machines, one a line whatever is in it; in development a line for people."""

from __future__ import annotations

import json
import re
from typing import Any

from structlog.typing import EventDict

BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""What ends a line somewhere, commands a terminal, or turns the direction of reading: text from strangers holds it."""
FIRST = ("timestamp", "level", "event", "logger")


def as_json(line: EventDict, **_options: Any) -> str:
    """The line as JSON in one line; half characters become `?`."""
    text = json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()
    return BREAKING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_words(_logger: object, _method: str, line: EventDict) -> str:
    """`12:03:04 WARNING item.retry  queue=email item=7  [queues.engine.settle]`, a traceback below it."""
    rest = {name: value for name, value in line.items() if name not in FIRST and name != "exception"}
    fields = " ".join(f"{_clean(name)}={_shown(value)}" for name, value in rest.items())
    head = (
        f"{str(line.get('timestamp', ''))[11:19]} {str(line.get('level', '')).upper():8}{_clean(line.get('event', ''))}"
    )
    text = "  ".join(part for part in (head, fields, f"[{_clean(line.get('logger', ''))}]") if part)
    below = str(line.get("exception", "")).splitlines()
    return "\n".join([text, *(f"    {_clean(each)}" for each in below)])


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _clean(text) if text and " " not in text else f'"{_clean(text)}"'


def _clean(value: object) -> str:
    text = str(value).encode("utf-8", "replace").decode()
    return BREAKING.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
