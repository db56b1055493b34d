"""Reads an EC P-256 private key in the forms people have it in, for VAPID and for Apple."""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

RAW_BYTES = 32


class BadKey(ValueError):
    """Not a P-256 private key. The words never repeat it."""


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """The key in `text`: PEM (also with literal `\\n`), base64 of DER or of the raw 32 bytes, or a file's path."""
    written = text.strip().strip("\"'").replace("\\n", "\n").strip()
    if not written:
        raise BadKey("no key")
    if not written.startswith("-----") and len(written) < 4096 and written.endswith((".pem", ".p8", ".key")):
        try:
            written = Path(written).expanduser().read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise BadKey("the key file cannot be read") from None
    try:
        return _of_pem(written) if written.startswith("-----") else _of_bytes(_decoded(written))
    except (ValueError, TypeError, binascii.Error):
        raise BadKey("expected a P-256 private key: PEM, base64, or the path of a .pem or .p8 file") from None


def raw_public(key: ec.EllipticCurvePublicKey) -> bytes:
    """The public key as browsers want it: the uncompressed point, 65 bytes."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64(text: str) -> bytes:
    """The bytes of base64url or base64, padded or not. Raises ValueError."""
    if not text.isascii():
        raise ValueError("not base64")
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def thumbprint(data: bytes) -> str:
    """A short name for a key or an account that tells nothing of it: 22 characters."""
    return b64(hashlib.sha256(data).digest())[:22]


def _of_pem(pem: str) -> ec.EllipticCurvePrivateKey:
    return _p256(serialization.load_pem_private_key(pem.encode("ascii"), password=None))


def _of_bytes(data: bytes) -> ec.EllipticCurvePrivateKey:
    if len(data) == RAW_BYTES:
        return ec.derive_private_key(int.from_bytes(data, "big"), ec.SECP256R1())
    if data.startswith(b"-----"):
        return _of_pem(data.decode("ascii"))
    return _p256(serialization.load_der_private_key(data, password=None))


def _p256(key: object) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("another kind of key")
    return key


def _decoded(text: str) -> bytes:
    return unb64("".join(text.split()))
