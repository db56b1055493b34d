"""Fixtures: certificate, servers of Google and Apple, and carriers that are set up for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_django import Settings

from config import secrets
from notifications.transports import apns, fcm, tokens, webpush
from tests.notifications.transports import apple_server, certificates
from tests.notifications.transports.apple_server import AppleServer
from tests.notifications.transports.google_server import GoogleServer
from tests.notifications.transports.plain_server import PlainServer

VAPID_KEY = secrets.vapid_key()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificate:
    """For localhost."""
    return certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def apple_key() -> ec.EllipticCurvePrivateKey:
    """The key that signs our provider tokens."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def _no_token_kept() -> None:
    """No test sends with what another one signed."""
    tokens.forget()


@pytest.fixture
def _loopback(settings: Settings) -> None:
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1", "localhost"]
    settings.VAPID_PRIVATE_KEY = VAPID_KEY


@pytest.fixture
def push_service(_loopback: None) -> Iterator[PlainServer]:
    """A browser's push service."""
    with PlainServer() as server:
        yield server


@pytest.fixture
def browser_carrier() -> Iterator[webpush.WebPush]:
    """Web Push, with connections of its own."""
    carrier = webpush.WebPush()
    yield carrier
    carrier.close()


@pytest.fixture(scope="session")
def _google() -> Iterator[GoogleServer]:
    """One for the run: reading its account's key takes a while."""
    with GoogleServer() as server:
        yield server


@pytest.fixture
def google_server(_google: GoogleServer, _loopback: None, settings: Settings) -> GoogleServer:
    """Google, and our settings for it."""
    _google.reset()
    settings.FCM_CREDENTIALS = _google.credentials
    settings.FCM_API_BASE = _google.url
    return _google


@pytest.fixture
def google_carrier() -> Iterator[fcm.Fcm]:
    """FCM, with connections of its own."""
    carrier = fcm.Fcm()
    yield carrier
    carrier.close()


@pytest.fixture
def apple_settings(_loopback: None, settings: Settings, apple_key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """Ours for the tests' Apple."""
    pem = apple_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    given = {
        "APNS_KEY": pem.decode(),
        "APNS_KEY_ID": apple_server.KEY_ID,
        "APNS_TEAM_ID": apple_server.TEAM,
        "APNS_TOPIC": apple_server.TOPIC,
    }
    for name, value in given.items():
        setattr(settings, name, value)
    return given


@pytest.fixture
def apple(
    apple_settings: dict[str, Any],
    settings: Settings,
    certificate: certificates.Certificate,
    apple_key: ec.EllipticCurvePrivateKey,
) -> Iterator[AppleServer]:
    """Apple's production."""
    with AppleServer(certificate, apple_key.public_key()) as server:
        settings.APNS_API_BASE = server.url
        yield server


@pytest.fixture
def sandbox(
    apple: AppleServer,
    settings: Settings,
    certificate: certificates.Certificate,
    apple_key: ec.EllipticCurvePrivateKey,
) -> Iterator[AppleServer]:
    """Apple's sandbox, beside its production."""
    with AppleServer(certificate, apple_key.public_key()) as server:
        settings.APNS_SANDBOX_API_BASE = server.url
        yield server


@pytest.fixture
def apple_carrier(certificate: certificates.Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[apns.Apns]:
    """APNs, trusting the tests' certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    carrier = apns.Apns()
    yield carrier
    carrier.close()
