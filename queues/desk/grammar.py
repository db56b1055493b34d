"""The grammar of the filter language: text to words with their places, and back to text.

    filter = word (space word)*
    word   = field ":" value | field (">" | "<") value | text
    value  = text with at most one "*" at its beginning and one at its end, which stand for anything
    text   = characters; spaces and the characters of the grammar stand in "…" or behind a backslash

What does not fit is a `Mistake` with its position. Nothing here knows which fields there are.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

TEXT_MAX = 400
_PLAIN = re.compile(r"[^\s\"\\*:<>]+")


class Mistake(ValueError):
    """A filter that means nothing. `at` counts characters from 1."""

    def __init__(self, words: str, *, at: int) -> None:
        self.words, self.at = words, at
        super().__init__(f"{words} (at character {at})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """`field` is "" for text to search for. `before` and `behind`: whether a `*` opens the value there."""

    field: str = ""
    operator: str = ":"
    text: str
    before: bool = False
    behind: bool = False
    at: int = dataclasses.field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class _Letter:
    character: str
    plain: bool
    """Neither quoted nor behind a backslash: it may belong to the grammar."""
    at: int


def read(text: str) -> list[Word]:
    """The words of a filter. Raises `Mistake`."""
    if len(text) > TEXT_MAX:
        raise Mistake(f"A filter has {TEXT_MAX} characters at most", at=TEXT_MAX + 1)
    return [_word(letters) for letters in _split(text)]


def write(words: list[Word]) -> str:
    """The filter as text; `read` gives the same words back."""
    return " ".join(_written(word) for word in words)


def _split(text: str) -> list[list[_Letter]]:
    found: list[list[_Letter]] = []
    current: list[_Letter] | None = None
    quoted_at = 0
    letters = iter(enumerate(text, 1))
    for at, character in letters:
        if character.isspace() and not quoted_at and character not in "\x1c\x1d\x1e\x1f\x85":
            current = None
            continue
        if current is None:
            found.append(current := [])
        if character == '"':
            quoted_at = 0 if quoted_at else at
            current.append(_Letter("", False, at))  # so that "" is a value, if an empty one
            continue
        escaped = character == "\\"
        if escaped:
            at, character = next(letters, (at, ""))
            if not character:
                raise Mistake("A backslash needs a character behind it", at=at)
        if not character.isprintable():
            raise Mistake("A character that no item holds", at=at)
        current.append(_Letter(character, not (escaped or quoted_at), at))
    if quoted_at:
        raise Mistake('A quotation mark that is never closed: put a backslash before it to search for "', at=quoted_at)
    return found


def _word(letters: list[_Letter]) -> Word:
    at = letters[0].at
    for index, letter in enumerate(letters):
        if letter.plain and letter.character in ":<>" and index:
            return _value(
                letters[index + 1 :],
                field="".join(each.character for each in letters[:index]).lower(),
                operator=letter.character,
                at=at,
            )
        if not letter.plain or not (letter.character.isalpha() or letter.character == "_"):
            break
    return Word(text="".join(letter.character for letter in letters), at=at)


def _value(letters: list[_Letter], *, field: str, operator: str, at: int) -> Word:
    stars = [index for index, letter in enumerate(letters) if letter.plain and letter.character == "*"]
    before, behind = 0 in stars, len(letters) > 1 and len(letters) - 1 in stars
    for index in stars:
        if index not in (0, len(letters) - 1):
            raise Mistake(r"A * stands at the beginning or the end; \* is the character itself", at=letters[index].at)
    text = "".join(letter.character for letter in letters[int(before) : len(letters) - int(behind)])
    if not text:
        raise Mistake(f"{field}{operator} needs a value", at=at)
    return Word(field=field, operator=operator, text=text, before=before, behind=behind, at=at)


def _written(word: Word) -> str:
    if not word.field:
        return _quoted(word.text)
    stars = ("*" if word.before else "", "*" if word.behind else "")
    return f"{word.field}{word.operator}{stars[0]}{_quoted(word.text)}{stars[1]}"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
