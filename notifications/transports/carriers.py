"""Which carrier serves a transport: the one place to add a way to reach devices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from notifications.states import Transport
from notifications.transports.answers import Carrier
from notifications.transports.apns import Apns
from notifications.transports.console import Console
from notifications.transports.fcm import Fcm
from notifications.transports.webpush import WebPush

MAKERS: Mapping[str, Callable[[], Carrier]] = {
    Transport.WEBPUSH: WebPush,
    Transport.FCM: Fcm,
    Transport.APNS: Apns,
    Transport.CONSOLE: Console,
}

_made: dict[str, Carrier] = {}
_lock = threading.Lock()


def get(transport: str) -> Carrier:
    """The carrier of this transport, made once a process. Raises KeyError for a transport there is not."""
    carrier = _made.get(transport)
    if carrier is None:
        with _lock:
            carrier = _made.get(transport) or _made.setdefault(transport, MAKERS[transport]())
    return carrier


def close() -> None:
    """Close what this thread holds open of all of them: at the end of a hand."""
    for carrier in list(_made.values()):
        carrier.close()
