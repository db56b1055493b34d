"""Encrypts a Web Push message for one subscription: RFC 8291 with the `aes128gcm` coding of RFC 8188, in one record."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from notifications.transports import keys

CURVE = ec.SECP256R1()
PLAINTEXT_MAX = 3993
"""Bytes. A push service need not take a body above 4,096 (RFC 8030 section 7.2): 86 are the header, 17 the record's."""
RECORD_SIZE = (4096).to_bytes(4, "big")


class BadSubscription(ValueError):
    """The subscription's keys are not what a browser makes: nothing can be encrypted for it."""


class TooLarge(ValueError):
    """The message does not fit into 4,096 bytes once it is encrypted."""


def check(*, p256dh: str, auth: str) -> tuple[bytes, bytes]:
    """The subscription's public key (65 bytes, a point on the curve) and secret (16 bytes), from base64url.

    Raises BadSubscription.
    """
    try:
        point, secret = keys.unb64(p256dh), keys.unb64(auth)
        ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
    except ValueError as error:
        raise BadSubscription("p256dh is no point on P-256, or auth no base64url") from error
    if len(point) != 65 or len(secret) != 16:
        raise BadSubscription("p256dh must be 65 bytes, auth 16")
    return point, secret


def encrypt(plaintext: bytes, *, p256dh: str, auth: str) -> bytes:
    """The body of the push. Every call makes its own key pair and salt: a reused one would betray the messages.

    Raises BadSubscription or TooLarge.
    """
    point, secret = check(p256dh=p256dh, auth=auth)
    return seal(plaintext, point=point, secret=secret, own=ec.generate_private_key(CURVE), salt=os.urandom(16))


def seal(plaintext: bytes, *, point: bytes, secret: bytes, own: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """RFC 8291 section 3.4 with everything given; `own` and `salt` are for this message alone."""
    if len(plaintext) > PLAINTEXT_MAX:
        raise TooLarge(f"{len(plaintext)} bytes; at most {PLAINTEXT_MAX} fit")
    sender = keys.raw_public(own.public_key())
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point))
    material = _mac(_mac(secret, shared), b"WebPush: info\x00" + point + sender + b"\x01")
    pseudorandom = _mac(salt, material)
    key = _mac(pseudorandom, b"Content-Encoding: aes128gcm\x00\x01")[:16]
    nonce = _mac(pseudorandom, b"Content-Encoding: nonce\x00\x01")[:12]
    sealed = AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)
    return salt + RECORD_SIZE + bytes([len(sender)]) + sender + sealed


def _mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256: one step of HKDF (RFC 5869), whose outputs here all fit into one block."""
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(data)
    return mac.finalize()
