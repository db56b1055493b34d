"""When the database answers nothing: who is let in, by a signed cookie, and to which saved copies.

A good visit leaves a pass: the user's id, signed, bound to the session's cookie and good for twelve hours. While the
database is away nobody's session can be read, and the pass stands in for it: for saved copies alone.

    analytics pages, figures as JSON    go on: saved copies for who holds a pass
    probes, the public status           go on: they judge the database themselves
    the rest of the API                 503, application/problem+json
    every other page                    503, in words
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.storage.cookie import CookieStorage
from django.core import signing
from django.db import DatabaseError, InterfaceError, router
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from analytics import limits
from analytics.fuse import CONNECTION, FUSE
from analytics.models import Campaign
from queues.desk.api import problems
from queues.engine import log

COOKIE = "analytics_pass"
SALT = "analytics.pass"
GOOD_FOR = 12 * 3600
FIGURES = ("/analytics/", "/api/v1/campaigns/")
PROBES = ("/healthz", "/readyz", "/metrics", "/status/")
RETRY_SECONDS = 30
LOOK_SECONDS = 2.0

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """Who holds it."""

    user_id: int
    staff: bool


class Outage:
    """Looks up who is there before anybody else asks; what the database does not say ends here or goes on without it.

    Stands before the middleware that logs the user of a request. Requests without a session's cookie pass untouched:
    a program's token is asked by the API, which answers for itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.COOKIES.get(settings.SESSION_COOKIE_NAME) or _known(request):
            return self.get_response(request)
        request.database_away = True  # type: ignore[attr-defined]
        request.user = AnonymousUser()
        request._messages = CookieStorage(request)  # type: ignore[attr-defined]  # the usual one asks the session
        if request.path.startswith((*FIGURES, *PROBES)):
            return self.get_response(request)
        return refuse(request) if request.path.startswith("/api/") else away(request)


def is_on(request: HttpRequest) -> bool:
    """Whether the database did not answer when this request came."""
    return bool(getattr(request, "database_away", False))


def away(request: HttpRequest) -> HttpResponse:
    """Nothing can be shown, not even who you are."""
    words = {"plain": True, "figures": request.path.startswith(FIGURES)}
    answer = render(request, "analytics/away.html", words, status=503)
    answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def refuse(request: HttpRequest) -> HttpResponse:
    """The same for a program, or a script of a page."""
    told = problems.body("unavailable", "The database is not answering. Try again in half a minute.")
    answer = JsonResponse(told, status=503, content_type=problems.MEDIA_TYPE)
    answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def leave_pass(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Give a pass with the answer to somebody who was let in."""
    user: Any = request.user
    told = {"u": user.pk, "s": user.has_perm("analytics.view_campaign"), "k": _session(request)}
    response.set_cookie(
        COOKIE,
        signing.dumps(told, salt=SALT),
        max_age=GOOD_FOR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    return response


def holder(request: HttpRequest) -> Pass | None:
    """Who holds the pass that came with the request, if it is good."""
    try:
        told = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=GOOD_FOR)
        if not hmac.compare_digest(told["k"], _session(request)):
            return None
        return Pass(int(told["u"]), bool(told["s"]))
    except (signing.BadSignature, KeyError, TypeError, ValueError):
        return None


def _known(request: HttpRequest) -> bool:
    if FUSE.line_is_down():
        return False
    try:
        with limits.watched(router.db_for_read(Campaign), seconds=LOOK_SECONDS):
            bool(request.user.pk)
    except (DatabaseError, InterfaceError) as error:
        FUSE.failed(CONNECTION)
        logger.error("analytics.database_away", words=str(error).split("\n")[0])
        return False
    return True


def _session(request: HttpRequest) -> str:
    return hashlib.sha256(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "").encode()).hexdigest()[:32]
