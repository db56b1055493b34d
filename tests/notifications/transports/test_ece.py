"""Encryption: the RFC's own example, every size, and keys no browser made."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.transports import ece, keys
from tests.notifications.transports.browser import Browser, b64

pytestmark = pytest.mark.once

BROWSER = Browser()


def test_the_example_of_rfc_8291():
    """Section 5 and appendix A: the same keys and salt make the same body."""
    point = keys.unb64("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    own = keys.private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    sealed = ece.seal(
        b"When I grow up, I want to be a watermelon",
        point=point,
        secret=keys.unb64("BTBZMqHH6r4Tts7J_aSIgg"),
        own=own,
        salt=keys.unb64("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert keys.b64(sealed) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6"
        "PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.integers(0, 5000).map(lambda size: b"x" * size)))
def test_a_browser_reads_what_fits_and_nothing_else_is_made(plaintext: bytes):
    """Up to 3,993 bytes the body has at most 4,096 and decrypts; above it nothing is encrypted."""
    if len(plaintext) > 3993:
        with pytest.raises(ece.TooLarge):
            ece.encrypt(plaintext, **BROWSER.keys)
        return
    body = ece.encrypt(plaintext, **BROWSER.keys)
    assert len(body) == len(plaintext) + 103
    assert BROWSER.decrypt(body) == plaintext


def test_the_largest_one_fills_4096_bytes():
    """One byte more is refused."""
    assert len(ece.encrypt(b"x" * 3993, **BROWSER.keys)) == 4096
    with pytest.raises(ece.TooLarge):
        ece.encrypt(b"x" * 3994, **BROWSER.keys)


def test_no_key_and_no_salt_is_used_twice():
    """The same text to the same browser: nothing but the record size repeats."""
    bodies = [ece.encrypt(b"same", **BROWSER.keys) for _ in range(50)]
    assert len({body[:16] for body in bodies}) == 50  # salts
    assert len({body[21:86] for body in bodies}) == 50  # public keys
    assert len({body[86:] for body in bodies}) == 50


POINT = BROWSER.point


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", ""),
        (b64(POINT[:64]), b64(b"a" * 16)),
        (b64(POINT + b"x"), b64(b"a" * 16)),
        (b64(b"\x04" + b"\x01" * 64), b64(b"a" * 16)),  # not on the curve
        (b64(b"\x00"), b64(b"a" * 16)),  # the point at infinity
        (b64(ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers().x.to_bytes(48, "big")), b64(b"a")),
        (b64(b"\x02" + POINT[1:33]), b64(b"a" * 16)),  # compressed: no browser makes one
        (b64(POINT), b64(b"a" * 15)),
        (b64(POINT), b64(b"a" * 17)),
        (b64(POINT), "not base64!"),
        ("ünïcode", b64(b"a" * 16)),
        (b64(POINT) + "\x00", b64(b"a" * 16)),
    ],
)
def test_keys_no_browser_made_are_refused(p256dh: str, auth: str):
    """Before anything is computed with them."""
    with pytest.raises(ece.BadSubscription):
        ece.encrypt(b"x", p256dh=p256dh, auth=auth)


def test_padded_and_standard_base64_are_read_too():
    """Some clients send base64 as it is, with padding."""
    auth = os.urandom(16)
    browser = Browser(auth=auth)
    padded = browser.keys["p256dh"].replace("-", "+").replace("_", "/") + "="
    assert browser.decrypt(ece.encrypt(b"x", p256dh=padded, auth=browser.keys["auth"] + "==")) == b"x"
