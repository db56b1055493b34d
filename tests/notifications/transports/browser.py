"""A browser's half of Web Push: makes a subscription and decrypts (RFC 8291); shares no code with ours."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.notifications.transports.plain_server import Request


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Browser:
    """One subscription."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def keys(self) -> dict[str, str]:
        """As `PushSubscription.toJSON().keys`."""
        return {"p256dh": b64(self.point), "auth": b64(self.auth)}

    def decrypt(self, body: bytes) -> bytes:
        """The message in a push's body. Fails on anything that is not one record of `aes128gcm`."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert length == 65
        assert len(body) <= 4096
        assert len(record) <= size
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        shared = self.key.exchange(ec.ECDH(), peer)
        material = _derive(shared, self.auth, b"WebPush: info\0" + self.point + sender, 32)
        key = _derive(material, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derive(material, salt, b"Content-Encoding: nonce\0", 12)
        plain = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert plain.endswith(b"\x02")
        return plain[:-1]

    def read(self, request: Request) -> dict[str, Any]:
        """What the service worker would get."""
        found: dict[str, Any] = json.loads(self.decrypt(request.body))
        return found


def faults(request: Request, *, origin: str) -> list[str]:
    """What a push service finds wrong with a request (RFC 8030 section 5, RFC 8292)."""
    headers = request.headers
    found = []
    if headers.get("content-encoding") != "aes128gcm":
        found.append("encoding")
    if headers.get("content-type") != "application/octet-stream":
        found.append("type")
    if not re.fullmatch(r"\d{1,7}", headers.get("ttl", "")):
        found.append("TTL")
    if "topic" in headers and not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", headers["topic"]):
        found.append("topic")
    if headers.get("urgency", "normal") not in {"very-low", "low", "normal", "high"}:
        found.append("urgency")
    if not (given := re.fullmatch(r"vapid t=([\w.-]+), k=([\w-]+)", headers.get("authorization", ""))):
        return [*found, "authorization"]
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(given[2]))
    claims = jwt.decode(given[1], public, algorithms=["ES256"], audience=origin)
    if not time.time() < claims["exp"] <= time.time() + 24 * 3600:
        found.append("exp")
    if not re.match(r"mailto:.+@|https://", claims.get("sub", "")):
        found.append("sub")
    return found


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)
