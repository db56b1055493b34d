"""The address a device acknowledges at: `POST /push/ack/<token>/` with `{"event": "delivered"}` or `"opened"`.

The signed link is the authority: no log-in, no cookie, no CSRF token. A look at it (GET, a scanner) changes nothing.
"""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notifications.sending import acks
from queues.desk.api import problems

BODY_MAX = 1000
"""Octets."""


@csrf_exempt
@never_cache
@require_http_methods(["POST", "OPTIONS"])
def acknowledge(request: HttpRequest, token: str) -> HttpResponse:
    """204 for a good link, however often; whatever it was asked, a delivery never goes back."""
    if request.method == "OPTIONS":
        return _open(HttpResponse(status=204))
    try:
        delivery_id = acks.read(token)
    except acks.Expired:
        return _problem("gone", "The push is too old to be acknowledged.")
    except acks.BadToken:
        return _problem("not_found", "This is no link of ours, or it was damaged on its way.")
    event, wrong = _event(request)
    if wrong:
        return _problem(wrong, f'Send {{"event": …}} with one of {", ".join(acks.EVENTS)}.')
    if not acks.acknowledge(delivery_id=delivery_id, event=event, now=timezone.now()):
        return _problem("gone", "The push is not kept any more.")
    return _open(HttpResponse(status=204))


def _event(request: HttpRequest) -> tuple[str, str]:
    """What the device says, or the code of what is wrong with it. Of any content type: beacons send text/plain."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > BODY_MAX:
        return "", "too_large"
    raw = request.read(BODY_MAX + 1)
    if len(raw) > BODY_MAX:
        return "", "too_large"
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        return "", "malformed"
    event = said.get("event") if isinstance(said, dict) else None
    return (event, "") if event in acks.EVENTS else ("", "invalid")


def _problem(code: str, detail: str) -> HttpResponse:
    status = 410 if code == "gone" else problems.CODES[code][0]
    body = problems.body(code, detail, status=status)
    return _open(JsonResponse(body, status=status, content_type=problems.MEDIA_TYPE))


def _open(response: HttpResponse) -> HttpResponse:
    """For the service worker of another site: no cookie is sent, and nothing secret is answered."""
    response["Access-Control-Allow-Origin"] = "*"
    response["Access-Control-Allow-Methods"] = "POST"
    response["Access-Control-Allow-Headers"] = "Content-Type"
    return response
