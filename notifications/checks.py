"""What `manage.py check` says of the settings of push (config/checks.py gathers it)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error

from notifications.transports import google, keys
from queues.engine import reach

APNS = ("APNS_KEY", "APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC")
TEN = re.compile(r"[A-Z0-9]{10}")
TOPIC = re.compile(r"[A-Za-z0-9.-]{1,155}")


def push_is_whole() -> Iterator[CheckMessage]:
    """Keys can be read, Apple's four settings come together, and pushes go to public https addresses."""
    yield from _keys()
    yield from _apple()
    for name in ("FCM_API_BASE", "APNS_API_BASE", "APNS_SANDBOX_API_BASE"):
        if fault := _base_fault(getattr(settings, name)):
            yield Error(f"{name} {fault}", id="redrive.E019")


def _keys() -> Iterator[CheckMessage]:
    if settings.VAPID_PRIVATE_KEY:
        try:
            keys.private_key(settings.VAPID_PRIVATE_KEY)
        except keys.BadKey as error:
            yield Error(f"VAPID_PRIVATE_KEY: {error}.", id="redrive.E017")
    if settings.FCM_CREDENTIALS:
        try:
            google.account(settings.FCM_CREDENTIALS)
        except google.BadCredentials as error:
            yield Error(
                f"FCM_CREDENTIALS: {error}.",
                hint="The path of the service account's key file from the Firebase console, or its JSON.",
                id="redrive.E018",
            )


def _apple() -> Iterator[CheckMessage]:
    missing = [name for name in APNS if not getattr(settings, name)]
    if missing and len(missing) < len(APNS):
        yield Error(f"Apple push is half set: {', '.join(missing)} missing.", id="redrive.E013")
    if settings.APNS_KEY:
        try:
            keys.private_key(settings.APNS_KEY)
        except keys.BadKey as error:
            yield Error(f"APNS_KEY: {error}.", hint="The AuthKey_….p8 from Apple.", id="redrive.E020")
    for name in ("APNS_KEY_ID", "APNS_TEAM_ID"):
        if getattr(settings, name) and not TEN.fullmatch(getattr(settings, name)):
            yield Error(f"{name} must be Apple's ten letters and digits.", id="redrive.E021")
    if settings.APNS_TOPIC and not TOPIC.fullmatch(settings.APNS_TOPIC):
        yield Error("APNS_TOPIC must be the app's bundle id, like com.example.app.", id="redrive.E022")


def _base_fault(base: str) -> str:
    """What is wrong with a service's address; "" if nothing is."""
    try:
        parts = urlsplit(base)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "is not a URL."
    if parts.scheme not in {"https", "http"} or not host or parts.query or parts.fragment:
        return "must be like https://push.example.com."
    if parts.scheme == "http" and not reach.excepted(host, port):
        return "must be https; only hosts named in PRIVATE_HOSTS_ALLOWED may be plain http."
    return ""
