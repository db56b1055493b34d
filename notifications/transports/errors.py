"""What each answer of a push service means: data, read from top to bottom, the first row that fits holds.

Statuses that are no numbers are our own: what happened on the wire (`connect`, `write`, `refused`, `goaway`: not
processed; `timeout`, `reset`: written, no answer; `private`, `malformed`: never tried) or before it (`unset`, `size`,
`keys`, `oauth`). A pair that is not here is `UNKNOWN`: staff are told, and no device is harmed.

Sources: FCM https://firebase.google.com/docs/cloud-messaging/error-codes · APNs
https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns · Web Push RFC
8030 section 7, RFC 8292 section 4.2, https://mozilla-services.github.io/autopush-rs/errors.html (`errno`) and
https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from notifications.states import Reason, Transport
from notifications.transports.answers import Answer, Verdict
from queues.engine import log, outcomes

VERSION = "2026-11-24"
ANY = "*"
REASON_MAX = 100
SAID_MAX = 300

WEBPUSH, FCM, APNS = Transport.WEBPUSH.value, Transport.FCM.value, Transport.APNS.value
MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
"""Apple: what was answered with 5xx may be retried "after 15 minutes"."""


class Fact(enum.StrEnum):
    """What is known beside status and reason, and decides some rows."""

    KEY_DIFFERS = "the subscription was made with another key of ours"
    REGISTERED_LATER = "the device registered after the token was found dead"
    ADDRESS_FIELD = "the field complained of is the address"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    transport: str
    """"": all of them."""
    status: str
    """`410`, `5xx`, `timeout`."""
    reason: str
    """The other side's word; "" for none, `*` for any."""
    verdict: Verdict
    words: str
    """For staff."""
    fact: Fact | None = None
    """The row holds only if this is so."""
    device: str = ""
    lane: str = ""
    lane_for: timedelta | None = None
    wait: timedelta | None = None
    """Until the next try, unless the answer says; None: by the queue's schedule."""

    def fits(self, transport: str, status: str, reason: str, facts: Collection[Fact]) -> bool:
        """Whether this row is about that answer."""
        return (
            self.transport in {"", transport}
            and (self.status == status or (self.status.endswith("xx") and status[:1] == self.status[0]))
            and self.reason in {ANY, reason}
            and (self.fact is None or self.fact in facts)
        )


def judge(transport: str, status: str, reason: str, facts: Collection[Fact] = ()) -> Row:
    """The row of an answer."""
    found = (row for row in ROWS if row.fits(transport, status, reason, facts))
    return next(found, UNKNOWN)


def answer(
    transport: str,
    status: str,
    reason: str = "",
    *,
    facts: Collection[Fact] = (),
    said: str = "",
    address: str = "",
    retry_after: timedelta | None = None,
    provider_id: str = "",
) -> Answer:
    """The answer in our words. `said` is the other side's sentence; `address` is hidden in it."""
    row = judge(transport, status, reason, facts)
    quoted = _masked(said, address)
    waits = row.verdict in {Verdict.RETRY, Verdict.UNCERTAIN, Verdict.UNKNOWN, Verdict.STOP}
    return Answer(
        row.verdict,
        status=status,
        reason=_masked(reason, address)[:REASON_MAX],
        words=f"{row.words} It said: {quoted}" if quoted and row.verdict is not Verdict.ACCEPTED else row.words,
        retry_after=(retry_after if retry_after is not None else row.wait) if waits else None,
        provider_id=outcomes.clean(provider_id)[:255],
        device_reason=row.device,
        lane_reason=row.lane,
        lane_for=row.lane_for,
    )


def _masked(text: str, address: str) -> str:
    hidden = text[:SAID_MAX].replace(address, "…") if address else text[:SAID_MAX]
    return " ".join(outcomes.clean(log.mask(hidden)).split())


def _rows(transport: str, verdict: Verdict, words: str, *pairs: tuple[str, str], **more: Any) -> tuple[Row, ...]:
    """A row for each (status, reason) that means the same."""
    return tuple(Row(transport, status, reason, verdict, words, **more) for status, reason in pairs)


UNKNOWN = Row("", ANY, ANY, Verdict.UNKNOWN, "An answer that is not in the tables.")

ACCEPTED, RETRY, INVALIDATE, SUSPECT = Verdict.ACCEPTED, Verdict.RETRY, Verdict.INVALIDATE, Verdict.SUSPECT
STOP, FAULT, UNCERTAIN = Verdict.STOP, Verdict.FAULT, Verdict.UNCERTAIN

TAKEN = "Taken."
GONE = "The push service does not know the address any more."
OUR_REQUEST = "The request itself was wrong: a fault of ours, not of the device."
OUR_MESSAGE = "This push is not acceptable to the service."
OUT_OF_ORDER = "The service is out of order."
GATEWAY = "A gateway gave up waiting for the service."

_EVERYWHERE = (
    *_rows("", RETRY, "The push service could not be reached.", ("connect", ANY)),
    *_rows("", RETRY, "The connection broke before the push was written.", ("write", ANY)),
    *_rows("", RETRY, "The push service refused to begin, and asks to try again.", ("refused", ANY)),
    *_rows("", RETRY, "The connection was ended before the push was processed.", ("goaway", "")),
    *_rows("", UNCERTAIN, "The push was written, and no answer came in time.", ("timeout", ANY)),
    *_rows("", UNCERTAIN, "The push was written, and the connection broke before the answer.", ("reset", ANY)),
    # Not INVALIDATE: a resolver gone wrong would empty the registry.
    *_rows(WEBPUSH, RETRY, "Its address is not on the public internet; nothing was sent.", ("private", ANY)),
    *_rows("", STOP, "The service's address is private.", ("private", ANY), lane="private address"),
    *_rows(WEBPUSH, INVALIDATE, "The endpoint is no address.", ("malformed", ANY), device=Reason.MALFORMED),
    *_rows("", FAULT, OUR_REQUEST, ("malformed", ANY)),
    *_rows("", FAULT, "The push is larger than the service takes; nothing was sent.", ("size", ANY)),
    *_rows("", STOP, "This transport is not set up.", ("unset", ANY), lane="not set up"),
)

_REFUSED_KEY = (("400", "UnauthorizedRegistration"), ("400", "VapidPkHashMismatch"), ("401", ANY), ("403", ANY))
_OTHER_KEY = (("400", "VapidPkHashMismatch"), ("403", "VapidPkHashMismatch"), ("403", "CredentialsMismatch"))

_WEBPUSH = (
    *_rows(WEBPUSH, ACCEPTED, TAKEN, ("200", ANY), ("201", ANY), ("202", ANY)),
    *_rows(WEBPUSH, INVALIDATE, GONE, ("404", "102"), ("404", ANY), device=Reason.REFUSED),
    *_rows(
        *(WEBPUSH, INVALIDATE, GONE, ("410", "103"), ("410", "105"), ("410", "106"), ("410", ANY)),
        device=Reason.REFUSED,
    ),
    *_rows(WEBPUSH, INVALIDATE, "Its keys cannot be encrypted for.", ("keys", ANY), device=Reason.MALFORMED),
    *_rows(
        *(WEBPUSH, INVALIDATE, "The subscription belongs to an earlier key of ours.", *_REFUSED_KEY),
        fact=Fact.KEY_DIFFERS,
        device=Reason.KEY_ROTATED,
    ),
    # By its own word this one subscription was made with a key that is not ours. It must not stop the lane: any
    # client could subscribe so, and the others would get nothing.
    *_rows(
        *(WEBPUSH, SUSPECT, "The subscription was made with a key that is not ours.", *_OTHER_KEY),
        device=Reason.KEY_ROTATED,
    ),
    *_rows(
        *(WEBPUSH, STOP, "The service does not accept our signature.", ("400", "UnauthorizedRegistration")),
        *(("401", "109"), ("401", ANY)),
        lane="VAPID refused",
    ),
    # Apple's word for a clock that is wrong, and for a contact address like mailto:x@localhost
    *_rows(
        *(WEBPUSH, STOP, "The service does not accept our signature.", ("403", "BadJwtToken")),
        lane="VAPID refused: clock or contact address",
    ),
    *_rows(WEBPUSH, STOP, "The service does not accept our signature.", ("403", ANY), lane="VAPID refused"),
    *_rows(WEBPUSH, FAULT, OUR_REQUEST, *(("400", errno) for errno in ("101", "110", "111", "112", "113"))),
    *_rows(WEBPUSH, FAULT, OUR_REQUEST, ("400", "BadWebPushTopic"), ("400", "WebPushTopicTooLong")),
    *_rows(WEBPUSH, FAULT, OUR_REQUEST, ("400", "BadAuthorizationHeader")),
    *_rows(WEBPUSH, FAULT, OUR_MESSAGE, ("413", ANY)),
    *_rows(WEBPUSH, RETRY, "Too many pushes for the service or this device.", ("429", ANY), wait=MINUTE),
    # Windows: https://learn.microsoft.com/windows/apps/develop/notifications/push-notifications/wns-overview
    *_rows(WEBPUSH, RETRY, "Too many pushes for the service or this device.", ("406", ANY), wait=MINUTE),
    *_rows(WEBPUSH, RETRY, "The service asks to come back later.", ("503", "201"), wait=MINUTE),
    *_rows(WEBPUSH, RETRY, "The service asks to try again at once.", ("503", "202")),
    *_rows(WEBPUSH, UNCERTAIN, GATEWAY, ("504", ANY)),
    *_rows(WEBPUSH, RETRY, OUT_OF_ORDER, ("5xx", ANY)),
    *_rows(WEBPUSH, FAULT, "The service redirects, which is never followed.", ("3xx", ANY)),
)

_FCM = (
    *_rows(FCM, ACCEPTED, TAKEN, ("200", ANY)),
    *_rows(FCM, INVALIDATE, GONE, ("404", "UNREGISTERED"), device=Reason.REFUSED),
    # Without FCM's own detail it is not about the address: wrong project, or wrong URL.
    *_rows(FCM, STOP, "There is no such project.", ("404", ANY), lane="wrong project or URL"),
    *_rows(
        *(FCM, INVALIDATE, "The service calls the address malformed.", ("400", "INVALID_ARGUMENT")),
        fact=Fact.ADDRESS_FIELD,
        device=Reason.MALFORMED,
    ),
    *_rows(FCM, FAULT, OUR_MESSAGE, ("400", "INVALID_ARGUMENT"), ("400", ""), ("413", ANY)),
    *_rows(
        *(FCM, SUSPECT, "The address belongs to another Firebase project.", ("403", "SENDER_ID_MISMATCH")),
        device=Reason.WRONG_SENDER,
    ),
    *_rows(FCM, STOP, "Our account may not send.", ("403", ANY), lane="account not permitted"),
    *_rows(
        *(FCM, STOP, "The key that Firebase uses behind itself is wrong.", ("401", "THIRD_PARTY_AUTH_ERROR")),
        lane="APNs or Web Push key in Firebase",
    ),
    *_rows(FCM, STOP, "Our access token is refused, a fresh one too.", ("401", ANY), lane="access token refused"),
    *_rows(FCM, RETRY, "Google's log-in cannot be reached.", ("oauth", "down"), wait=MINUTE),
    *_rows(FCM, STOP, "Google refuses our service account.", ("oauth", ANY), lane="service account refused"),
    *_rows(FCM, RETRY, "The project's quota is used up.", ("429", ANY), wait=MINUTE),
    *_rows(FCM, UNCERTAIN, GATEWAY, ("504", ANY)),
    *_rows(FCM, RETRY, OUT_OF_ORDER, ("5xx", ANY)),
)

_DEAD = (("410", "Unregistered"), ("410", "ExpiredToken"))
_TOPIC = (("400", "TopicDisallowed"), ("400", "MissingTopic"), ("400", "BadTopic"))
_REQUEST = (
    *(("400", each) for each in ("MissingDeviceToken", "BadMessageId", "BadExpirationDate", "BadPriority")),
    *(("400", each) for each in ("BadCollapseId", "DuplicateHeaders", "PayloadEmpty")),
    *(("404", "BadPath"), ("405", "MethodNotAllowed")),
)
_KEY = (
    *("InvalidProviderToken", "MissingProviderToken", "BadCertificate", "BadCertificateEnvironment", "Forbidden"),
    *("UnrelatedKeyIdInToken", "BadEnvironmentKeyIdInToken"),
)

_APNS = (
    *_rows(APNS, ACCEPTED, TAKEN, ("200", ANY)),
    *_rows(APNS, RETRY, "It was dead before, and has registered again since.", *_DEAD, fact=Fact.REGISTERED_LATER),
    *_rows(APNS, INVALIDATE, GONE, *_DEAD, device=Reason.REFUSED),
    *_rows(
        *(APNS, INVALIDATE, "Neither of Apple's environments knows the token.", ("400", "BadDeviceToken")),
        device=Reason.MALFORMED,
    ),
    *_rows(
        *(APNS, SUSPECT, "The token belongs to another app.", ("400", "DeviceTokenNotForTopic")),
        device=Reason.WRONG_SENDER,
    ),
    *_rows(APNS, STOP, "Apple does not accept APNS_TOPIC.", *_TOPIC, lane="APNS_TOPIC refused"),
    *_rows(APNS, STOP, OUR_REQUEST, ("400", "InvalidPushType"), lane="push type refused"),
    *_rows(APNS, FAULT, OUR_REQUEST, *_REQUEST),
    *_rows(APNS, FAULT, OUR_MESSAGE, ("413", "PayloadTooLarge")),
    *_rows(
        *(APNS, STOP, "Apple calls a fresh token expired: is the clock right?", ("403", "ExpiredProviderToken")),
        lane="token expired: clock?",
    ),
    *_rows(APNS, STOP, "Apple does not accept our key.", *(("403", each) for each in _KEY), lane="APNS_KEY refused"),
    # https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
    *_rows(
        *(APNS, STOP, "Our token was signed anew too often.", ("429", "TooManyProviderTokenUpdates")),
        lane="signed too often",
        lane_for=timedelta(minutes=20),
    ),
    *_rows(APNS, RETRY, "Too many pushes for this device.", ("429", "TooManyRequests"), wait=MINUTE),
    *_rows(APNS, RETRY, "The connection had been idle.", ("400", "IdleTimeout")),
    *_rows(APNS, RETRY, "The server is going away; another will do.", ("503", "Shutdown"), ("goaway", "Shutdown")),
    *_rows(APNS, RETRY, OUT_OF_ORDER, ("500", "InternalServerError"), ("503", "ServiceUnavailable"), wait=QUARTER),
    *_rows(APNS, RETRY, OUT_OF_ORDER, ("5xx", ANY), wait=QUARTER),
)

ROWS: tuple[Row, ...] = (*_EVERYWHERE, *_WEBPUSH, *_FCM, *_APNS)
