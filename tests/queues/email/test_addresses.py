"""Addresses: one form to compare, one to send to, and a sentence for each that is neither."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queues.email import addresses

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("header", "normal"),
    [
        ("anna@example.com", "anna@example.com"),
        ("Anna@Example.COM", "anna@example.com"),
        ("Anna <A@Ex.com>", "a@ex.com"),
        ("<a@ex.com>", "a@ex.com"),
        ('"Doe, Jane" <Jane.Doe@ex.com>', "jane.doe@ex.com"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("Jörg@example.com", "jörg@example.com"),
        ("Jo\u0308rg@example.com", "j\u00f6rg@example.com"),
        ('"john doe"@example.com', '"john doe"@example.com'),
        ('"john"@example.com', "john@example.com"),
        ('"a@b"@example.com', '"a@b"@example.com'),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[ipv6:2001:db8::1]"),
        ("webmaster@localhost", "webmaster@localhost"),
        ("o'brien+tag@example.com", "o'brien+tag@example.com"),
    ],
)
def test_one_mailbox_has_one_normal_form(header: str, normal: str) -> None:
    assert addresses.normalize(header) == normal
    assert addresses.normalize(normal) == normal


@pytest.mark.parametrize(
    ("header", "name", "address"),
    [
        ("a@Ex.com", "", "a@Ex.com"),
        ("Anna Smith <Anna@ex.com>", "Anna Smith", "Anna@ex.com"),
        ('"Smith, \\"Annie\\" \\\\ Anna" <a@ex.com>', 'Smith, "Annie" \\ Anna', "a@ex.com"),
        ("J. R. Smith (Sales) <a@ex.com>", "J. R. Smith (Sales)", "a@ex.com"),
        ("a@ex.com <a@ex.com>", "a@ex.com", "a@ex.com"),
        ("=?utf-8?q?J=C3=B6rg?= <j@ex.com>", "Jörg", "j@ex.com"),
        ("=?utf-8?b?SsO2?= =?utf-8?b?cmc=?= <j@ex.com>", "Jörg", "j@ex.com"),
        ("=?no-such-charset?q?x?= <j@ex.com>", "=?no-such-charset?q?x?=", "j@ex.com"),
        ("日本 <j@ex.com>", "日本", "j@ex.com"),
        ('"" <j@ex.com>', "", "j@ex.com"),
    ],
)
def test_a_header_is_a_name_and_an_address(header: str, name: str, address: str) -> None:
    assert addresses.split(header) == (name, address)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "no address"),
        ("<>", "no address"),
        ("nobody", "no @"),
        ("Anna", "no @"),
        ("@example.com", "nothing before the @"),
        ("anna@", "nothing after the @"),
        ("a b@example.com", "malformed before the @"),
        ("a..b@example.com", "malformed before the @"),
        (".a@example.com", "malformed before the @"),
        ("a@b@example.com", "malformed before the @"),
        ('"a"b@example.com', "malformed before the @"),
        ("a@exa mple.com", "malformed domain"),
        ("a@-example.com", "malformed domain"),
        ("a@example..com", "malformed domain"),
        ("a@example.com.", "malformed domain"),
        ("a@" + "x" * 64 + ".com", "malformed domain"),
        ("a@bü cher.example", "IDNA"),
        ("a@ü_.example", "IDNA"),
        ("a@[nonsense]", "malformed domain"),
        ("a\n@example.com", "control character"),
        ("a@example.com\r\nBcc: b@example.com", "control character"),
        ("a\x00b@example.com", "control character"),
        ("An\nna <a@example.com>", "control character"),
        ("=?utf-8?q?a=0D=0ABcc:_x?= <a@example.com>", "control character"),
        ("a\ud800@example.com", "surrogate"),
        ("x" * 65 + "@example.com", "64 octets"),
        ("ü" * 33 + "@example.com", "64 octets"),
        ("a@" + "x." * 130 + "com", "longer than 254"),
        ("n" * 1000 + " <a@example.com>", "longer than 1000"),
        ("a@example.com, b@example.com", "malformed"),
        ("a@example.com, B <b@example.com>", "several addresses"),
        ("Doe, Jane <jane@example.com>", "several addresses"),
        ('"unbalanced <a@example.com>', "several addresses"),
        ("A <a@example.com> B <b@example.com>", "several addresses"),
    ],
)
def test_what_is_not_an_address_is_refused_with_its_reason(header: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        addresses.split(header)
    with pytest.raises(ValueError, match=reason):
        addresses.normalize(header)


@given(st.text(max_size=80) | st.text('a@.<>"\\ ,\n[]=?', max_size=40))
def test_whatever_is_handed_in_gives_an_address_or_a_value_error(header: str) -> None:
    try:
        name, address = addresses.split(header)
    except ValueError:
        return
    local, _at, domain = address.rpartition("@")
    assert local
    assert domain.isascii()
    assert not any(ord(character) < 0x20 or character in "<>" for character in address if not local.startswith('"'))
    assert not any(ord(character) < 0x20 for character in name + address)
    assert addresses.normalize(address) == addresses.normalize(header) == address.lower()


def test_only_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    assert addresses.needs_smtputf8(addresses.split("jörg@example.com")[1])
    assert not addresses.needs_smtputf8(addresses.split("a@bücher.example")[1])
