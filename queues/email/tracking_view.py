"""Where e-mail providers post what became of our mail: `/webhooks/email/<provider>/`, read by Anymail's views.

200 stored (also when seen before) · 400 not authentic or not an event · 401 no credentials · 404 no such provider
503 could not store, or not set up: send again
"""

from __future__ import annotations

import functools
from typing import Any

from anymail.exceptions import AnymailError, AnymailWebhookValidationFailure
from anymail.signals import AnymailTrackingEvent
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from queues.email import tracking
from queues.engine import log

logger = log.get(__name__)

UNREADABLE = (
    AnymailError,
    AssertionError,
    AttributeError,
    LookupError,
    MultiPartParserError,
    OverflowError,
    RecursionError,
    SuspiciousOperation,
    TypeError,
    ValueError,
)
"""What Anymail's parsers raise on a body that is not their provider's."""

SUFFIX = "_tracking_webhook"


@csrf_exempt
def receive(request: HttpRequest, provider: str) -> HttpResponse:
    """Store the events of one request."""
    view_class = _views().get(provider.replace("-", "_"))
    if view_class is None:
        raise Http404
    if not settings.ANYMAIL_WEBHOOK_SECRET:
        return _said(503, "ANYMAIL_WEBHOOK_SECRET is not set.")
    if request.method == "HEAD" or (request.method == "GET" and "get" in view_class.http_method_names):
        return HttpResponse()  # a provider's test of the address
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "POST, HEAD"})
    if not request.headers.get("Authorization"):
        # Amazon SNS sends the credentials of the URL only when asked for them
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="tracking"'})
    return _store(request, view_class)


def _store(request: HttpRequest, view_class: Any) -> HttpResponse:
    try:
        view = view_class()
        view.setup(request)
        view.run_validators(request)
        events = [event for event in view.parse_events(request) if isinstance(event, AnymailTrackingEvent)]
    except ImproperlyConfigured as error:
        logger.error("tracking.not_set_up", provider=view_class.esp_name, error=str(error))
        return _said(503, "This provider's key or package is missing here, or it posts inbound mail.")
    except AnymailWebhookValidationFailure as error:
        logger.warning("tracking.not_authentic", provider=view_class.esp_name, error=str(error))
        return _said(400, "Not authentic.")
    except UNREADABLE as error:
        logger.warning("tracking.unreadable", provider=view_class.esp_name, error=type(error).__name__)
        return _said(400, "Not an event of this provider.")
    try:
        tracking.record(events=events, provider=view_class.esp_name, now=timezone.now())
    except (DatabaseError, InterfaceError) as error:
        logger.error("tracking.not_stored", provider=view_class.esp_name, error=type(error).__name__)
        return _said(503, "Could not store the events.")
    return HttpResponse()


def _said(status: int, words: str) -> HttpResponse:
    headers = {"Retry-After": "60"} if status == 503 else {}
    return HttpResponse(words, status=status, content_type="text/plain; charset=utf-8", headers=headers)


@functools.cache
def _views() -> dict[str, Any]:
    """Anymail's tracking views, by the provider's name as in Anymail's own addresses."""
    from anymail import urls  # loads the parsers of all providers

    return {
        pattern.name.removesuffix(SUFFIX): pattern.callback.view_class
        for pattern in urls.urlpatterns
        if pattern.name.endswith(SUFFIX)
    }
