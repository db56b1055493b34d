"""A log line is one line, whatever strangers put into it: as JSON for machines and as words in development."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog

from queues.engine import log, log_line

pytestmark = pytest.mark.once

BREAKERS = ("\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00", "\x1b[2J", "\x9b2J", "\u202e")


def written(readable: bool, event: str, **fields: Any) -> str:
    """Through the whole configuration, as a handler of it writes."""
    config = log.logging_config(readable=readable)["formatters"]["json"]
    formatter = config.pop("()")(**config)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    foreign = logging.getLogger("tests.log_line")
    foreign.addHandler(handler)
    foreign.propagate = False
    try:
        structlog.stdlib.get_logger("tests.log_line").warning(event, **fields)
        foreign.warning(event)  # another library's, with a stranger's text as its message
    finally:
        foreign.removeHandler(handler)
        foreign.propagate = True
    return stream.getvalue()


@pytest.mark.parametrize("readable", [False, True], ids=["json", "words"])
@pytest.mark.parametrize("breaker", BREAKERS, ids=ascii)
def test_nobody_writes_a_line_of_their_own(breaker: str, readable: bool):
    """Two events are two lines, by every reader's idea of a line; nothing commands the terminal."""
    hostile = f'x{breaker}{{"event": "login", "user": "root"}}'
    text = written(readable, hostile, field=hostile, **{"key" + breaker: 1})
    assert len(text.rstrip("\n").splitlines()) == 2
    assert breaker not in text.replace("\n", "") or breaker == "\n"
    if not readable:
        assert json.loads(text.splitlines()[0])["field"].startswith("x")


def test_json_keeps_what_it_escapes():
    """Escaped for the line, whole for the reader."""
    value = "".join(BREAKERS) + "plain ünï"
    assert json.loads(log_line.as_json({"event": value}))["event"] == value


def test_in_development_a_person_can_read_it():
    """Time, level, event, fields, logger; masked as ever; a traceback below, indented."""
    line = {"event": "item.retry", "level": "warning", "logger": "a.b", "timestamp": "2026-03-02T12:03:04.5Z"}
    text = log_line.as_words(
        None, "", {**line, "queue": "email", "item": 7, "words": "451 no", "exception": "T\n  at x"}
    )
    assert text == '12:03:04 WARNING item.retry  queue=email item=7 words="451 no"  [a.b]\n    T\n      at x'
    assert "a…@example.com" in written(True, "to anna@example.com")
