"""JSON as the API takes it: UTF-8, bounded, no duplicate names, and nothing that a database column refuses later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.http.request import UnreadablePostError
from rest_framework.parsers import BaseParser

from queues.desk.api.problems import Problem

BODY_MAX = 20_000_000
"""Octets: 10 MB of attachments are 13.4 MB of base64, and two bodies may be 2 MB each."""
DEPTH_MAX = 20
DIGITS_MAX = 100


class StrictJSONParser(BaseParser):
    """Parses `application/json`. Raises Problem: `malformed` or `too_large`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value in the body."""
        try:
            raw = stream.read(BODY_MAX + 1)  # Django's own limit holds for forms only
        except UnreadablePostError as error:
            raise Problem("malformed", "The connection broke before the body had come.") from error
        if len(raw) > BODY_MAX:
            raise Problem("too_large", f"More than {BODY_MAX:,} octets.")
        try:
            value = json.loads(
                raw.decode("utf-8"),
                object_pairs_hook=_unique,
                parse_constant=_not_json,
                parse_int=_whole,
                parse_float=_finite,
            )
        except RecursionError:
            raise Problem("malformed", "Nested too deeply.") from None
        except ValueError as error:
            raise Problem("malformed", f"Not JSON: {error}"[:300].encode("ascii", "replace").decode()) from error
        _check(value)
        return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the same name twice in one object")
    return found


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError("a number with too many digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits) if len(digits) <= DIGITS_MAX else float("inf")
    if number - number != 0:
        raise ValueError("a number too large to be kept")
    return number


def _check(value: Any) -> None:
    """Refuse NUL and lone surrogates anywhere (no database column holds them), and more levels than anyone needs."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise Problem("malformed", f"Nested more than {DEPTH_MAX} levels deep.")
        below: list[Any] = []
        for each in level:
            if isinstance(each, str):
                _check_text(each)
            elif isinstance(each, dict):
                for name in each:
                    _check_text(name)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        level = below


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise Problem("malformed", "A NUL character in a text.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Problem("malformed", "Half a character (a lone surrogate) in a text.") from None
