"""What every request passes through: whose word about the client is believed, its id, the admin's policy."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

type Next = Callable[[HttpRequest], HttpResponse]

SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")
"""An id of a request, from outside: nothing that could pass for something else in a log."""
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


class TrustedProxies:
    """Sets REMOTE_ADDR to the client's address if the peer is in TRUSTED_PROXIES; else drops the peer's claims."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        peer = request.META.get("REMOTE_ADDR", "")
        # Said by whomever: a proxy on this machine that is not in TRUSTED_PROXIES must not pass for this machine.
        setattr(request, "forwarded", any(name in request.META for name in FORWARDED))  # noqa: B010
        if is_trusted(peer):
            request.META["REMOTE_ADDR"] = client_address(peer=peer, claims=request.META.get(FORWARDED[0], ""))
        else:
            for name in FORWARDED:
                request.META.pop(name, None)
        return self.get_response(request)


def is_trusted(address: str) -> bool:
    """Whether the address belongs to one of our own proxies."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(known in network for network in settings.TRUSTED_PROXIES)


def client_address(*, peer: str, claims: str) -> str:
    """Return the last address of X-Forwarded-For that our own proxies did not write themselves.

    Read from the right: everything left of the first stranger was written by that stranger.
    """
    address = peer
    for claim in reversed([part.strip() for part in claims.split(",")]):
        try:
            address = str(ipaddress.ip_address(claim))
        except ValueError:
            break
        if not is_trusted(address):
            break
    return address


class RequestId:
    """Gives each request an id that every line of its log bears, and that it is answered with.

    One that came with it is kept if it is sane: it ends up in logs, in rows and in the ledger.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if SANE.fullmatch(given) else str(uuid.uuid4())
        request.META["HTTP_X_REQUEST_ID"] = request_id
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response

    def process_view(self, request: HttpRequest, view: Callable[..., HttpResponse], *_arguments: object) -> None:
        """Name the room that answers: `email`, `webhooks`, `payments`, ..."""
        first, _, rest = getattr(view, "__module__", "").partition(".")
        room = rest.partition(".")[0] if first == "queues" else {"django": "desk", "unfold": "desk"}.get(first, first)
        structlog.contextvars.bind_contextvars(feature=room)


class AdminPolicy:
    """Grants the admin's pages the wider Content-Security-Policy that Unfold needs, unless the view has its own."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/admin/") and not hasattr(response, "_csp_config"):
            setattr(response, "_csp_config", settings.ADMIN_CSP)  # noqa: B010  (the attribute Django's middleware reads)
        return response
