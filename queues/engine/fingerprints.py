"""Fingerprints: failures with the same cause have the same one, whatever numbers, names and ids their words carry.

What is compared is the queue, the code (a provider's code or an exception's class), the words without what differs from
item to item, and where a queue says so (`QueueItem.FAILS_BY`) its type or handler.
"""

from __future__ import annotations

import hashlib
import re

VERSION = "1"
"""Part of every fingerprint: with other rules, other fingerprints."""
LENGTH = 16
WORDS_READ = 500

_ENHANCED = re.compile(r"(?<![\w.])[245]\.\d{1,3}\.\d{1,3}(?![\w.])")
"""An enhanced status code (RFC 3463) is a cause, not a number that varies."""
_RULES = (
    (re.compile(r"<?[\w.+'=-]{1,64}@[\w.-]{1,253}>?"), "@"),
    (re.compile(r"https?://\S{1,300}"), "url"),
    (re.compile(r"(?<!\w)'[^']{0,200}'(?!\w)|\"[^\"]{0,200}\"|`[^`]{0,200}`|[“‘«„][^”’»“]{0,200}[”’»“]"), "quote"),
    (re.compile(r"\b[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}\b"), "#"),
    (re.compile(r"\b(?=[a-z_-]{0,40}\d)[\w-]{6,}\b"), "id"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "#"),
)
_SPACE = re.compile(r"\W+")


def of(*, queue: str, code: str, words: str, handler: str = "") -> str:
    """The fingerprint of a failure: 16 hexadecimal digits."""
    parts = "\x1f".join((VERSION, queue, code, normal(words), handler))
    return hashlib.blake2b(parts.encode(errors="replace"), digest_size=LENGTH // 2).hexdigest()


def normal(words: str) -> str:
    """The words without addresses, links, quotes, ids and numbers, in lower case."""
    text = words[:WORDS_READ].lower()
    kept = _ENHANCED.findall(text)
    text = _ENHANCED.sub(" ", text)
    for rule, stand_in in _RULES:
        text = rule.sub(f" {stand_in} ", text)
    return " ".join([*kept, _SPACE.sub(" ", text).strip()])
