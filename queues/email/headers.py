"""Header lines: folding (RFC 5322), encoded words (RFC 2047), addresses; no value can start a line of its own.

Everything that is not printable ASCII leaves here encoded, line breaks included. The one exception is an address whose
local part is not ASCII: it stays UTF-8 (RFC 6532), and the transport then asks for SMTPUTF8.
"""

from __future__ import annotations

import binascii
import functools
import re
from collections.abc import Iterable

from queues.email import addresses

LINE = 78
"""Characters of a line that should not be passed (RFC 5322 section 2.1.1)."""
WORD = 75
"""Characters of an encoded word that must not be passed (RFC 2047 section 2)."""
RAW_WORD_MAX = 900
"""ASCII without a space up to here is written as it is; beyond it the line would pass 998."""
QUOTED_NAME_MAX = 60

_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q = [chr(octet) if octet in _Q_SAFE else "_" if octet == 0x20 else f"={octet:02X}" for octet in range(256)]
_B_OCTETS = 45
"""45 octets are 60 characters of base64, 72 with `=?utf-8?b?` and `?=`."""
_AROUND = len("=?utf-8?q??=")


def clean(text: str) -> str:
    """The text without lone surrogates: pairs are joined, halves become U+FFFD; they cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def unstructured(name: str, value: str) -> str:
    """One header, folded, with its CRLF: printable ASCII as it is, anything else in encoded words."""
    if _PRINTABLE.fullmatch(value) and "=?" not in value:
        if len(name) + 2 + len(value) <= LINE:
            return f"{name}: {value}\r\n"
        words = value.split(" ")
        if max(map(len, words)) <= RAW_WORD_MAX:
            return fold(name, words)
    if not value:
        return f"{name}: \r\n"
    return fold(name, encoded_words(value, taken=len(name) + 2))


def address_list(name: str, headers: Iterable[str]) -> str:
    """One header of addresses, folded, with its CRLF. Raises ValueError for what is not an address."""
    tokens: list[str] = []
    for header in headers:
        if tokens:
            tokens[-1] += ","
        try:
            tokens += _address_tokens(header)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if len(tokens) == 1 and len(name) + 2 + len(tokens[0]) <= LINE:
        return f"{name}: {tokens[0]}\r\n"
    return fold(name, tokens)


def fold(name: str, tokens: Iterable[str]) -> str:
    """`name: token token…`, a new line before each token that would pass LINE. A token is not divided."""
    out = [name, ":"]
    length, first = len(name) + 1, True
    for token in tokens:
        if not first and token and length + 1 + len(token) > LINE:
            out.append("\r\n")
            length = 0
        out.append(" ")
        out.append(token)
        length += 1 + len(token)
        first = False
    out.append("\r\n")
    return "".join(out)


def encoded_words(text: str, *, taken: int) -> list[str]:
    """The text as encoded words, `q` or `b` by which is shorter; the first has `taken` characters less room."""
    text = clean(text)
    data = text.encode()
    quoted = sum(len(_Q[octet]) for octet in data)
    return _q_words(text, taken) if quoted * 3 <= len(data) * 4 else _b_words(text, taken)


def _q_words(text: str, taken: int) -> list[str]:
    words: list[str] = []
    room, used, pieces = max(WORD - taken, _AROUND + 12) - _AROUND, 0, list[str]()
    for character in text:  # a word must not end inside a character (RFC 2047 section 5)
        piece = "".join([_Q[octet] for octet in character.encode()])
        if used + len(piece) > room and pieces:
            words.append(f"=?utf-8?q?{''.join(pieces)}?=")
            room, used, pieces = WORD - _AROUND, 0, []
        pieces.append(piece)
        used += len(piece)
    words.append(f"=?utf-8?q?{''.join(pieces)}?=")
    return words


def _b_words(text: str, taken: int) -> list[str]:
    words: list[str] = []
    room, chunk = max((WORD - taken - _AROUND) // 4 * 3, 6), bytearray()
    for character in text:
        octets = character.encode()
        if len(chunk) + len(octets) > room and chunk:
            words.append(f"=?utf-8?b?{binascii.b2a_base64(chunk, newline=False).decode('ascii')}?=")
            room, chunk = _B_OCTETS, bytearray()
        chunk += octets
    words.append(f"=?utf-8?b?{binascii.b2a_base64(chunk, newline=False).decode('ascii')}?=")
    return words


@functools.lru_cache(maxsize=4096)
def _address_tokens(header: str) -> tuple[str, ...]:
    name, address = addresses.split(header)
    if not name:
        return (address,)
    if name.isascii() and "=?" not in name and len(name) <= QUOTED_NAME_MAX:
        if _ATOMS.fullmatch(name):
            return (*name.split(" "), f"<{address}>")
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return (f'"{escaped}"', f"<{address}>")
    return (*encoded_words(name, taken=len("Reply-To: ")), f"<{address}>")
