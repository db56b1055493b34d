"""Formats: what no push service could accept is refused before it is stored, field by field."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pytest_django import Settings

from notifications.devices import formats
from notifications.devices.formats import Given, Refused
from tests.notifications.devices.world import subscription, token

WEB = subscription()


def fault(**given: Any) -> dict[str, str]:
    with pytest.raises(Refused) as refused:
        formats.check(Given(**given))
    return refused.value.errors


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("c" + "A1_-" * 5 + "z", "fcm_fid"),
        ("f" + "b" * 21, "fcm_fid"),
        (token(), "fcm_token"),
    ],
)
def test_fcm_takes_installation_ids_and_tokens(address: str, kind: str):
    checked = formats.check(Given(transport="fcm", address=address))
    assert (checked.kind, checked.address) == (kind, address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "not a token!!",
        "g" + "b" * 21,
        "c" + "b" * 20,
        "c" + "b" * 22,
        "x" * 99,
        "x" * 4097,
        "ü" * 120,
        token() + "\n",
    ],
)
def test_fcm_refuses_what_is_neither(address: str):
    assert set(fault(transport="fcm", address=address)) == {"address"}


def test_apns_takes_hex_and_keeps_one_form_of_it():
    checked = formats.check(Given(transport="apns", address="AB" * 32, environment="sandbox"))
    assert (checked.kind, checked.address, checked.environment) == ("apns_token", "ab" * 32, "sandbox")
    assert formats.check(Given(transport="apns", address="ab" * 100)).address == "ab" * 100


@pytest.mark.parametrize(
    "address", ["ab", "ab" * 31, "a" * 65, "ab" * 101, "xy" * 32, "<" + "ab" * 32 + ">", "ab" * 32 + "\n"]
)
def test_apns_refuses_what_is_no_token(address: str):
    assert set(fault(transport="apns", address=address)) == {"address"}


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:def",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAA",
        "https://web.push.apple.com/QG0",
        "https://wns2-by3p.notify.windows.com/w/?token=BQ%3d",
        "https://push.example.com:8443/x",
        "https://93.184.215.14/x",
    ],
)
def test_public_endpoints_are_taken(endpoint: str):
    assert formats.check(Given(transport="webpush", **{**WEB, "address": endpoint})).address == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://updates.push.services.mozilla.com/x",
        "ftp://example.com/x",
        "//example.com/x",
        "https://",
        "https://localhost/x",
        "https://localhost./x",
        "https://push/x",
        "https://db.internal/x",
        "https://printer.local/x",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0x7f.0.0.0x1/x",
        "https://0/x",
        "https://10.0.0.1/x",
        "https://192.168.1.1:8000/x",
        "https://172.16.0.1/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[fe80::1]/x",
        "https://[fd00::1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "https://user@example.com/x",
        "https://user:pw@example.com/x",
        "https://example.com/x#fragment",
        "https://example.com/a b",
        "https://example.com\\@127.0.0.1/x",
        "https://example.com:99999/x",
        "https://example.com:x/x",
        "https://[::1/x",
        "https://exämple.com/x",
        "https://example.com/\r\nHost: x",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_endpoints_that_are_not_public_or_no_urls_are_refused(endpoint: str):
    assert set(fault(transport="webpush", **{**WEB, "address": endpoint})) == {"address"}


def test_a_private_host_can_be_allowed_by_name_and_then_also_without_tls(settings: Settings):
    settings.PRIVATE_HOSTS_ALLOWED = ["localhost:8090", "10.1.0.0/16"]
    for endpoint in ("http://localhost:8090/notify/x", "https://10.1.2.3/x"):
        assert formats.check(Given(transport="webpush", **{**WEB, "address": endpoint})).address == endpoint
    for endpoint in ("http://localhost:8091/notify/x", "https://10.2.0.1/x"):
        assert fault(transport="webpush", **{**WEB, "address": endpoint})


def off_curve() -> str:
    return base64.urlsafe_b64encode(b"\x04" + b"\x01" * 64).decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p256dh", ""),
        ("p256dh", off_curve()),
        ("p256dh", base64.urlsafe_b64encode(b"\x02" + b"\x01" * 32).decode()),
        ("p256dh", WEB["p256dh"][:-4]),
        ("p256dh", WEB["p256dh"] + "AAAA"),
        ("p256dh", "!" * 87),
        ("p256dh", "A" * 201),
        ("auth", ""),
        ("auth", "AAAA"),
        ("auth", base64.urlsafe_b64encode(b"x" * 17).decode()),
        ("auth", "é" * 22),
    ],
)
def test_keys_that_no_browser_has_are_refused(name: str, value: str):
    assert set(fault(transport="webpush", **{**WEB, name: value})) == {name}


def test_padded_keys_are_stored_in_one_form():
    checked = formats.check(
        Given(transport="webpush", **{**WEB, "auth": WEB["auth"] + "==", "p256dh": WEB["p256dh"] + "="})
    )
    assert (checked.auth, checked.p256dh) == (WEB["auth"], WEB["p256dh"])


def test_everything_that_is_wrong_is_said_at_once():
    found = fault(transport="webpush", address="http://10.0.0.1/", p256dh="x", auth="y", environment="sandbox")
    assert set(found) == {"address", "p256dh", "auth", "environment"}
    assert set(fault(transport="fcm", address="x", p256dh="x", auth="y")) == {"address", "p256dh", "auth"}
    assert set(fault(transport="pigeon", address="x")) == {"transport"}


def test_the_console_is_for_development(settings: Settings):
    settings.DEBUG, settings.DEMO = False, False
    assert set(fault(transport="console", address="desk")) == {"transport"}
    settings.DEMO = True
    assert formats.check(Given(transport="console", address="desk")).kind == "console"
