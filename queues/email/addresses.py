"""Addresses: what is before the `<`, what is inside, and the one form that limits and suppressions compare.

An address is handed in as in a header: `anna@example.com`, `Anna <anna@example.com>`, `"Doe, Jane" <jane@example.com>`.
One string is one address: a list in one string is refused, for a recipient that is silently dropped is a lost mail.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header

import idna

ADDRESS_MAX = 254
"""Octets: a path of RFC 5321 section 4.5.3.1.3 is 256 with its angle brackets."""
LOCAL_MAX = 64
"""Octets: RFC 5321 section 4.5.3.1.1."""
HEADER_MAX = 1000
"""Characters of display name and address together; nobody's name is longer, and parsing stays cheap."""

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SIMPLE = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*@{_LABEL}(?:\.{_LABEL})*")
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_UNICODE_DOT_ATOM = re.compile(rf"(?:{_ATEXT}|[^\x00-\x9f\s])+(?:\.(?:{_ATEXT}|[^\x00-\x9f\s])+)*")
_QUOTED_LOCAL = re.compile(r'"((?:[ !#-\[\]-~]|\\[ -~])*)"')
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|(?i:IPv6):[0-9A-Fa-f:.]+)\]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 !#$%&'*+/?^_`{|}~.()-]*")
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@functools.lru_cache(maxsize=1024)
def normalize(header: str) -> str:
    """The address alone, in lower case, its domain in ASCII: what keys, limits and suppressions are made of.

    `Anna <A@Bücher.example>` gives `a@xn--bcher-kva.example`. Raises ValueError with the reason.
    """
    if len(header) <= ADDRESS_MAX and _SIMPLE.fullmatch(header) and header.index("@") <= LOCAL_MAX:
        return header.lower()
    return split(header)[1].lower()


def split(header: str) -> tuple[str, str]:
    """`(display name, address)`; the address keeps the case of its local part, its domain is in ASCII (IDNA).

    The display name is decoded (quotes, RFC 2047 words) and "" where there is none. Raises ValueError with the reason.
    """
    if not header.endswith(">"):
        return "", _checked(header.strip(" "))
    if len(header) > HEADER_MAX:
        raise ValueError(f"longer than {HEADER_MAX} characters")
    name, _bracket, address = header[:-1].rpartition("<")
    return _display(name.strip(" ")), _checked(address)


def needs_smtputf8(address: str) -> bool:
    """Whether an address that `split` gave can only travel by SMTPUTF8 (RFC 6531): its local part is not ASCII."""
    return not address.isascii()


def _checked(address: str) -> str:
    """The address with an ASCII domain and a normal local part, or ValueError."""
    if _SIMPLE.fullmatch(address) and len(address) <= ADDRESS_MAX and address.index("@") <= LOCAL_MAX:
        return address
    if _CONTROL.search(address):
        raise ValueError("control character in the address")
    if _SURROGATE.search(address):
        raise ValueError("half a character (a lone surrogate) in the address")
    if len(address) > ADDRESS_MAX:
        raise ValueError(f"address longer than {ADDRESS_MAX} characters")
    local, at, domain = address.rpartition("@")
    if not at:
        raise ValueError("no @ in the address" if address else "no address")
    local, domain = _local(local), _domain(domain)
    if len(local.encode()) > LOCAL_MAX:
        raise ValueError(f"more than {LOCAL_MAX} octets before the @")
    if len(local.encode()) + 1 + len(domain) > ADDRESS_MAX:
        raise ValueError(f"address longer than {ADDRESS_MAX} octets")
    return f"{local}@{domain}"


def _local(local: str) -> str:
    quoted = _QUOTED_LOCAL.fullmatch(local)
    if quoted:
        bare = re.sub(r"\\(.)", r"\1", quoted.group(1))
        # `"anna"@…` and `anna@…` are one mailbox (RFC 5321 section 4.1.2)
        return bare if _DOT_ATOM.fullmatch(bare) else '"' + re.sub(r'(["\\])', r"\\\1", bare) + '"'
    local = unicodedata.normalize("NFC", local)  # RFC 6532 section 3.1
    if not _UNICODE_DOT_ATOM.fullmatch(local):
        raise ValueError("malformed before the @" if local else "nothing before the @")
    return local


@functools.lru_cache(maxsize=4096)
def _domain(domain: str) -> str:
    if _DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain):
        return domain
    if domain.isascii():
        raise ValueError("malformed domain after the @" if domain else "nothing after the @")
    try:
        encoded = idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"domain that IDNA does not allow: {error}") from error
    if not _DOMAIN.fullmatch(encoded):
        raise ValueError("malformed domain after the @")
    return encoded


def _display(name: str) -> str:
    """The display name decoded, or ValueError."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    if _CONTROL.search(name):
        raise ValueError("control character in the display name")
    quoted = _QUOTED_NAME.fullmatch(name)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted.group(1))
    if any(special in name for special in ',;<>"'):
        raise ValueError("several addresses in one string, or a display name that needs quotes")
    return _decoded(name) if "=?" in name else name


def _decoded(name: str) -> str:
    """RFC 2047 words read; what cannot be read stays as it stands."""
    try:
        pieces = decode_header(name)
        text = "".join(
            piece if isinstance(piece, str) else piece.decode(charset or "ascii", "replace")
            for piece, charset in pieces
        )
    except (HeaderParseError, LookupError, ValueError):
        return name
    if _CONTROL.search(text):
        raise ValueError("control character in the display name")
    return text
