"""Our key, in every form people have it in, and the header that is signed once an origin for hours."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pytest_django import Settings

from config import secrets
from notifications.transports import keys, vapid

pytestmark = pytest.mark.once

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
RAW = KEY.private_numbers().private_value.to_bytes(32, "big")
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
NONE = serialization.NoEncryption()
PKCS8, SEC1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
PEM_TEXT = KEY.private_bytes(PEM, PKCS8, NONE).decode()

FORMS = [
    keys.b64(RAW),
    base64.b64encode(RAW).decode(),
    f'"{keys.b64(RAW)}"\n',
    PEM_TEXT,
    PEM_TEXT.replace("\n", "\\n"),
    KEY.private_bytes(PEM, SEC1, NONE).decode(),
    base64.b64encode(KEY.private_bytes(DER, PKCS8, NONE)).decode(),
    keys.b64(KEY.private_bytes(DER, SEC1, NONE)),
    base64.encodebytes(PEM_TEXT.encode()).decode(),
]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_of_the_key_is_the_same_key(settings: Settings, text: str):
    """PEM, PEM on one line, base64 of either, DER, the raw number."""
    settings.VAPID_PRIVATE_KEY = text
    public = KEY.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    assert vapid.public_key() == keys.b64(public)
    assert len(vapid.thumbprint()) == 22


def test_a_file_and_the_key_that_up_makes(settings: Settings, tmp_path: Path):
    """The path of a .pem file; and what `manage.py up` writes into var/secrets.env."""
    file = tmp_path / "key.pem"
    file.write_text(PEM_TEXT)
    settings.VAPID_PRIVATE_KEY = str(file)
    assert vapid.ready()
    settings.VAPID_PRIVATE_KEY = secrets.vapid_key()
    assert len(keys.unb64(vapid.public_key())) == 65


OTHERS = [
    "",
    "   ",
    "no key at all",
    keys.b64(RAW[:31]),
    keys.b64(b"\x00" * 32),
    keys.b64(b"\xff" * 32),
    PEM_TEXT[:60],
    "/nowhere/key.pem",
    "ключ",
    ec.generate_private_key(ec.SECP384R1()).private_bytes(PEM, PKCS8, NONE).decode(),
    ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, NONE).decode(),
    rsa.generate_private_key(65537, 1024).private_bytes(PEM, PKCS8, NONE).decode(),
    KEY.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
]


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_p256_key_is_refused_without_being_repeated(settings: Settings, text: str):
    """The message may go into a log."""
    settings.VAPID_PRIVATE_KEY = text
    assert not vapid.ready()
    assert vapid.thumbprint() == ""
    with pytest.raises(keys.BadKey) as caught:
        vapid.public_key()
    assert not text.strip() or text.strip()[:10] not in str(caught.value)


def claims(header: str) -> dict[str, object]:
    token = header.removeprefix("vapid t=").partition(",")[0]
    found: dict[str, object] = jwt.decode(
        token, KEY.public_key(), algorithms=["ES256"], options={"verify_exp": False, "verify_aud": False}
    )
    return found


def test_one_signature_an_origin_for_six_hours(settings: Settings):
    """`aud` is each origin's own, and never more than 24 hours are promised."""
    settings.VAPID_PRIVATE_KEY = keys.b64(RAW)
    settings.DEFAULT_FROM_EMAIL = "Shop <shop@example.com>"
    first = vapid.header(origin="https://a.example", now=NOW)
    other = vapid.header(origin="https://b.example:8443", now=NOW)
    assert vapid.header(origin="https://a.example", now=NOW + timedelta(hours=5, minutes=59)) == first
    assert claims(first)["aud"] == "https://a.example"
    assert claims(other)["aud"] == "https://b.example:8443"
    assert claims(first)["sub"] == "mailto:shop@example.com"
    for wait in range(0, 48, 3):
        now = NOW + timedelta(hours=wait)
        left = int(str(claims(vapid.header(origin="https://a.example", now=now))["exp"])) - now.timestamp()
        assert 6 * 3600 <= left <= 24 * 3600, wait
    # a clock that was set back
    left = int(str(claims(vapid.header(origin="https://a.example", now=NOW))["exp"])) - NOW.timestamp()
    assert left <= 24 * 3600


def test_a_new_key_or_contact_signs_anew(settings: Settings):
    """Nothing of the old one is kept."""
    settings.VAPID_PRIVATE_KEY = secrets.vapid_key()
    before = vapid.header(origin="https://a.example", now=NOW)
    settings.VAPID_PRIVATE_KEY = keys.b64(RAW)
    after = vapid.header(origin="https://a.example", now=NOW)
    assert before != after
    settings.DEFAULT_FROM_EMAIL = "other@example.com"
    assert claims(vapid.header(origin="https://a.example", now=NOW))["sub"] == "mailto:other@example.com"


def test_invented_origins_do_not_fill_the_memory(settings: Settings):
    """Whoever registers devices can name as many hosts as they like."""
    settings.VAPID_PRIVATE_KEY = keys.b64(RAW)
    for number in range(vapid.ORIGINS_MAX + 50):
        vapid.header(origin=f"https://{number}.example", now=NOW)
    assert len(vapid._headers) <= vapid.ORIGINS_MAX
