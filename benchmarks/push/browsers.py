"""Subscriptions as browsers make them, the same for every contender."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SAID = {"title": "Your order is on its way", "body": "x" * 150, "url": "/orders/4711", "tag": "order-4711"}
TEXT = json.dumps(SAID).encode()
"""About 240 bytes: a usual notification."""
SERVER_KEY = ec.generate_private_key(ec.SECP256R1())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def server_key_raw() -> str:
    """Base64url of the 32 bytes."""
    return b64(SERVER_KEY.private_numbers().private_value.to_bytes(32, "big"))


def server_key_pem() -> tuple[bytes, bytes]:
    """Private and public."""
    private = SERVER_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, SERVER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def subscription(url: str) -> dict[str, Any]:
    """One, as JSON."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    p256dh = b64(point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    return {"endpoint": f"{url}/p/{p256dh[:22]}", "keys": {"p256dh": p256dh, "auth": b64(bytes(range(16)))}}
