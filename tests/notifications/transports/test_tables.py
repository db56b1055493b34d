"""Every row of the error tables, met through a real server. What is expected stands here, not in the tables."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifications.states import AddressKind, Reason
from notifications.transports import apns, errors, fcm, webpush, wire
from notifications.transports.answers import Address, Answer, Message, Verdict
from tests.notifications.transports import apple_server, google_server
from tests.notifications.transports.apple_server import AppleServer
from tests.notifications.transports.browser import Browser
from tests.notifications.transports.google_server import GoogleServer
from tests.notifications.transports.plain_server import PlainServer, Told

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ACCEPTED, RETRY, INVALIDATE, SUSPECT, STOP, FAULT, UNCERTAIN, UNKNOWN = Verdict
MESSAGE = Message(title="Hello", body="there", collapse_id="c1")
APPLE_TOKEN = "ab" * 32
GOOGLE_TOKEN = "d" * 22 + ":" + "A" * 120
MET: set[errors.Row] = set()
"""The rows that the tests of this module have come by; the last test looks whether that is all of them."""

MISMATCH = "the VAPID credentials in the authorization header do not correspond to the credentials used to create the"


def met(transport: str, answer: Answer, *facts: errors.Fact) -> Answer:
    """Note the row."""
    MET.add(errors.judge(transport, answer.status, answer.reason, facts))
    return answer


def errno(status: int, number: int) -> Told:
    """Mozilla's errors."""
    return Told(status, json.dumps({"code": status, "errno": number, "error": "words"}).encode())


def apple(status: int, reason: str) -> Told:
    """Apple's."""
    return Told(status, json.dumps({"reason": reason}).encode())


WEBPUSH = [
    (Told(200), ACCEPTED, ""),
    (Told(201), ACCEPTED, ""),
    (Told(202), ACCEPTED, ""),
    (errno(404, 102), INVALIDATE, Reason.REFUSED),
    (Told(404, b"not here"), INVALIDATE, Reason.REFUSED),
    (errno(410, 103), INVALIDATE, Reason.REFUSED),
    (errno(410, 105), INVALIDATE, Reason.REFUSED),
    (errno(410, 106), INVALIDATE, Reason.REFUSED),
    (Told(410), INVALIDATE, Reason.REFUSED),
    (Told(400, b"UnauthorizedRegistration"), STOP, ""),
    (errno(401, 109), STOP, ""),
    (Told(401), STOP, ""),
    (apple(403, "BadJwtToken"), STOP, ""),
    (Told(403, b"Forbidden"), STOP, ""),
    (apple(400, "VapidPkHashMismatch"), SUSPECT, Reason.KEY_ROTATED),
    (apple(403, "VapidPkHashMismatch"), SUSPECT, Reason.KEY_ROTATED),
    (Told(403, MISMATCH.encode()), SUSPECT, Reason.KEY_ROTATED),
    (errno(400, 101), FAULT, ""),
    (errno(400, 110), FAULT, ""),
    (errno(400, 111), FAULT, ""),
    (errno(400, 112), FAULT, ""),
    (errno(400, 113), FAULT, ""),
    (apple(400, "BadWebPushTopic"), FAULT, ""),
    (apple(400, "WebPushTopicTooLong"), FAULT, ""),
    (apple(400, "BadAuthorizationHeader"), FAULT, ""),
    (Told(413), FAULT, ""),
    (Told(429), RETRY, ""),
    (Told(406), RETRY, ""),
    (errno(503, 201), RETRY, ""),
    (errno(503, 202), RETRY, ""),
    (Told(504), UNCERTAIN, ""),
    (Told(500), RETRY, ""),
    (Told(502, b"<html>"), RETRY, ""),
    (Told(302, headers={"Location": "http://127.0.0.1:9/"}), FAULT, ""),
    (Told(307, headers={"Location": "http://127.0.0.1:9/"}), FAULT, ""),
    # not in the tables
    (Told(400), UNKNOWN, ""),
    (errno(400, 999), UNKNOWN, ""),
    (Told(418), UNKNOWN, ""),
    (Told(204), UNKNOWN, ""),
    (Told(do="reset"), UNCERTAIN, ""),
    (Told(do="close"), UNCERTAIN, ""),
]


def subscription(url: str, **changes: Any) -> Address:
    """A browser's address at that server."""
    given = {"app": "default", "kind": AddressKind.WEBPUSH_ENDPOINT, "address": f"{url}/p/1", **Browser().keys}
    return Address(**(given | changes))


@pytest.mark.parametrize(("told", "verdict", "device"), WEBPUSH)
def test_web_push(
    push_service: PlainServer, browser_carrier: webpush.WebPush, told: Told, verdict: Verdict, device: str
):
    """A push service's answer, with a subscription that was made with our present key."""
    push_service.tell = lambda _: told
    answer = met("webpush", browser_carrier.send(MESSAGE, subscription(push_service.url)))
    assert (answer.verdict, answer.device_reason) == (verdict, device)
    assert bool(answer.lane_reason) == (verdict is STOP)
    assert len(push_service.requests) == 1  # never followed, never repeated


@pytest.mark.parametrize(
    "told",
    [
        Told(400, b"UnauthorizedRegistration"),
        apple(400, "VapidPkHashMismatch"),
        errno(401, 109),
        apple(403, "BadJwtToken"),
    ],
)
def test_web_push_after_the_key_was_changed(push_service: PlainServer, browser_carrier: webpush.WebPush, told: Told):
    """The same refusals end the subscription, not the lane, if it was made with an earlier key."""
    push_service.tell = lambda _: told
    answer = browser_carrier.send(MESSAGE, subscription(push_service.url, vapid_key_thumbprint="another"))
    met("webpush", answer, errors.Fact.KEY_DIFFERS)
    assert (answer.verdict, answer.device_reason) == (INVALIDATE, Reason.KEY_ROTATED)


NOT_FOUND, INVALID, DENIED = "NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED"
fails = google_server.error
FCM = [
    (Told(200, b'{"name": "projects/p/messages/1"}'), ACCEPTED, ""),
    (fails(404, NOT_FOUND, fcm="UNREGISTERED"), INVALIDATE, Reason.REFUSED),
    (fails(404, NOT_FOUND), STOP, ""),
    (Told(404, b"<html>"), STOP, ""),
    (fails(400, INVALID, fcm=INVALID, fields=["message.token"]), INVALIDATE, Reason.MALFORMED),
    (fails(400, INVALID, fields=["message.fid"]), INVALIDATE, Reason.MALFORMED),
    (
        fails(400, INVALID, "The registration token is not a valid FCM registration token", fcm=INVALID),
        INVALIDATE,
        Reason.MALFORMED,
    ),
    (fails(400, INVALID, fcm=INVALID, fields=["message.data[0].value"]), FAULT, ""),
    (fails(400, INVALID, fcm=INVALID, fields=["message.token", "message.android.ttl"]), FAULT, ""),
    (fails(400, INVALID), FAULT, ""),
    (Told(400), FAULT, ""),
    (Told(413), FAULT, ""),
    (fails(403, DENIED, fcm="SENDER_ID_MISMATCH"), SUSPECT, Reason.WRONG_SENDER),
    (fails(403, DENIED), STOP, ""),
    (fails(401, "UNAUTHENTICATED", fcm="THIRD_PARTY_AUTH_ERROR"), STOP, ""),
    (fails(401, "UNAUTHENTICATED"), STOP, ""),
    (fails(429, "RESOURCE_EXHAUSTED", fcm="QUOTA_EXCEEDED"), RETRY, ""),
    (fails(500, "INTERNAL", fcm="INTERNAL"), RETRY, ""),
    (fails(503, "UNAVAILABLE", fcm="UNAVAILABLE"), RETRY, ""),
    (Told(502, b"<html>Bad Gateway</html>"), RETRY, ""),
    (Told(504), UNCERTAIN, ""),
    # not in the tables
    (fails(400, "FAILED_PRECONDITION"), UNKNOWN, ""),
    (fails(409, "ABORTED"), UNKNOWN, ""),
    (Told(302, headers={"Location": "http://127.0.0.1:9/"}), UNKNOWN, ""),
    (Told(do="reset"), UNCERTAIN, ""),
    (Told(do="close"), UNCERTAIN, ""),
]


def registration(address: str = GOOGLE_TOKEN, kind: str = AddressKind.FCM_TOKEN, **changes: Any) -> Address:
    """A device at FCM."""
    return Address(**({"app": "default", "kind": kind, "address": address} | changes))


@pytest.mark.parametrize(("told", "verdict", "device"), FCM)
def test_fcm(google_server: GoogleServer, google_carrier: fcm.Fcm, told: Told, verdict: Verdict, device: str):
    """Google's answer."""
    google_server.send = lambda _: told
    answer = google_carrier.send(MESSAGE, registration())
    bad_address = {errors.Fact.ADDRESS_FIELD} if device == Reason.MALFORMED else set()
    met("fcm", answer, *bad_address)
    assert (answer.verdict, answer.device_reason) == (verdict, device)
    assert bool(answer.lane_reason) == (verdict is STOP)
    assert GOOGLE_TOKEN not in answer.words


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (Told(400, b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'), STOP),
        (Told(401, b'{"error": "invalid_client"}'), STOP),
        (Told(200, b"<html>a captive portal</html>"), RETRY),
        (Told(503), RETRY),
        (Told(429), RETRY),
        (Told(do="reset"), RETRY),
    ],
)
def test_googles_log_in(google_server: GoogleServer, google_carrier: fcm.Fcm, told: Told, verdict: Verdict):
    """What the token endpoint says: nothing was sent in any case."""
    google_server.grant = lambda: told
    answer = met("fcm", google_carrier.send(MESSAGE, registration()))
    assert answer.verdict is verdict
    assert google_server.messages == []


AT = datetime(2026, 11, 1, tzinfo=UTC)
STAMP = int(AT.timestamp() * 1000)
APNS = [
    (200, "", ACCEPTED, ""),
    (410, "Unregistered", INVALIDATE, Reason.REFUSED),
    (410, "ExpiredToken", INVALIDATE, Reason.REFUSED),
    (400, "BadDeviceToken", INVALIDATE, Reason.MALFORMED),
    (400, "DeviceTokenNotForTopic", SUSPECT, Reason.WRONG_SENDER),
    (400, "TopicDisallowed", STOP, ""),
    (400, "MissingTopic", STOP, ""),
    (400, "BadTopic", STOP, ""),
    (400, "InvalidPushType", STOP, ""),
    (400, "MissingDeviceToken", FAULT, ""),
    (400, "BadMessageId", FAULT, ""),
    (400, "BadExpirationDate", FAULT, ""),
    (400, "BadPriority", FAULT, ""),
    (400, "BadCollapseId", FAULT, ""),
    (400, "DuplicateHeaders", FAULT, ""),
    (400, "PayloadEmpty", FAULT, ""),
    (404, "BadPath", FAULT, ""),
    (405, "MethodNotAllowed", FAULT, ""),
    (413, "PayloadTooLarge", FAULT, ""),
    (403, "ExpiredProviderToken", STOP, ""),
    (403, "InvalidProviderToken", STOP, ""),
    (403, "MissingProviderToken", STOP, ""),
    (403, "BadCertificate", STOP, ""),
    (403, "BadCertificateEnvironment", STOP, ""),
    (403, "Forbidden", STOP, ""),
    (403, "UnrelatedKeyIdInToken", STOP, ""),
    (403, "BadEnvironmentKeyIdInToken", STOP, ""),
    (429, "TooManyProviderTokenUpdates", STOP, ""),
    (429, "TooManyRequests", RETRY, ""),
    (400, "IdleTimeout", RETRY, ""),
    (500, "InternalServerError", RETRY, ""),
    (503, "ServiceUnavailable", RETRY, ""),
    (503, "Shutdown", RETRY, ""),
    (502, "", RETRY, ""),
    # not in the tables
    (400, "", UNKNOWN, ""),
    (410, "", UNKNOWN, ""),
    (400, "SomethingNew", UNKNOWN, ""),
    (403, "", UNKNOWN, ""),
]


def phone(address: str = APPLE_TOKEN, **changes: Any) -> Address:
    """A device at Apple."""
    return Address(**({"app": "default", "kind": AddressKind.APNS_TOKEN, "address": address} | changes))


@pytest.mark.parametrize(("status", "reason", "verdict", "device"), APNS)
def test_apns(
    sandbox: AppleServer,
    apple: AppleServer,
    apple_carrier: apns.Apns,
    status: int,
    reason: str,
    verdict: Verdict,
    device: str,
):
    """Apple's answer, the same from both environments."""
    apple.tell = sandbox.tell = lambda _: apple_server.Told(status, reason, timestamp=STAMP)
    answer = met("apns", apple_carrier.send(MESSAGE, phone(registered_at=AT - timedelta(days=1))))
    assert (answer.verdict, answer.device_reason) == (verdict, device)
    assert bool(answer.lane_reason) == (verdict is STOP)
    assert (answer.lane_for is not None) == (reason == "TooManyProviderTokenUpdates")


@pytest.mark.parametrize("reason", ["Unregistered", "ExpiredToken"])
def test_apns_a_death_before_the_registration_says_nothing(apple: AppleServer, apple_carrier: apns.Apns, reason: str):
    """Apple's `timestamp` is when the token died; the device has registered since."""
    apple.tell = lambda _: apple_server.Told(410, reason, timestamp=STAMP)
    later = apple_carrier.send(MESSAGE, phone(registered_at=AT + timedelta(seconds=1)))
    met("apns", later, errors.Fact.REGISTERED_LATER)
    assert later.verdict is RETRY
    for stamp in (STAMP, None, "yesterday", 1e30, True):  # at the same moment, or no time at all
        apple.tell = lambda _, stamp=stamp: apple_server.Told(410, reason, timestamp=stamp)
        assert apple_carrier.send(MESSAGE, phone(registered_at=AT)).verdict is INVALIDATE


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (apple_server.Told(do="goaway"), RETRY),
        (apple_server.Told(do="goaway", goaway_reason="Shutdown"), RETRY),
        (apple_server.Told(do="refuse"), RETRY),
        (apple_server.Told(do="reset"), UNCERTAIN),
        (apple_server.Told(do="drop"), UNCERTAIN),
    ],
)
def test_apns_ends_a_connection(
    apple: AppleServer, apple_carrier: apns.Apns, told: apple_server.Told, verdict: Verdict
):
    """Every time it is tried."""
    apple.tell = lambda _: told
    assert met("apns", apple_carrier.send(MESSAGE, phone())).verdict is verdict


def test_what_was_never_sent(
    push_service: PlainServer,
    browser_carrier: webpush.WebPush,
    google_carrier: fcm.Fcm,
    apple_carrier: apns.Apns,
    settings: Any,
    apple_settings: dict[str, Any],
):
    """No server, private addresses, bad addresses and keys, too much text, nothing set up."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    fine = subscription(push_service.url)
    web = browser_carrier.send
    long = Message(title="x", body="x" * 5000)

    assert met("webpush", web(MESSAGE, subscription(nowhere))).verdict is RETRY
    assert met("webpush", web(MESSAGE, subscription("ftp://x"))).device_reason == Reason.MALFORMED
    assert met("webpush", web(MESSAGE, subscription(push_service.url, auth="AAAA"))).device_reason == Reason.MALFORMED
    assert met("webpush", web(long, fine)).verdict is FAULT
    settings.APNS_API_BASE = "https://127.0.0.1\u00e4"
    assert met("apns", apple_carrier.send(MESSAGE, phone())).verdict is FAULT

    settings.PRIVATE_HOSTS_ALLOWED = []
    assert met("webpush", web(MESSAGE, fine)).verdict is RETRY
    assert met("webpush", web(MESSAGE, subscription("https://localhost"))).status == "private"
    settings.APNS_API_BASE = "https://localhost"
    assert met("apns", apple_carrier.send(MESSAGE, phone())).lane_reason == "private address"

    settings.VAPID_PRIVATE_KEY = settings.FCM_CREDENTIALS = settings.APNS_KEY = ""
    for transport, carrier, address in (
        ("webpush", browser_carrier, fine),
        ("fcm", google_carrier, registration()),
        ("apns", apple_carrier, phone()),
    ):
        assert met(transport, carrier.send(MESSAGE, address)).verdict is STOP
        assert carrier.credential(address) == ""
    assert push_service.requests == []


def test_silence_and_a_broken_write(
    push_service: PlainServer, browser_carrier: webpush.WebPush, monkeypatch: pytest.MonkeyPatch
):
    """Written and no answer; and not even written, because no time was left."""
    monkeypatch.setattr(wire, "SEND_SECONDS", 0.3)
    push_service.tell = lambda _: Told(do="silence")
    assert met("webpush", browser_carrier.send(MESSAGE, subscription(push_service.url))).verdict is UNCERTAIN
    push_service.tell = lambda _: Told()
    browser_carrier.send(MESSAGE, subscription(push_service.url))
    monkeypatch.setattr(wire, "SEND_SECONDS", -1.0)
    late = met("webpush", browser_carrier.send(MESSAGE, subscription(push_service.url)))
    assert (late.verdict, late.status) == (RETRY, "write"), late


def test_every_row_was_met():
    """Needs the tests above; the tables have no row that no test comes by."""
    if len(MET) < 20:
        pytest.skip("the other tests of this module did not run")
    assert [row for row in errors.ROWS if row not in MET] == []
    assert len(errors.ROWS) >= 45
