"""Errors of the API: `application/problem+json` (RFC 9457) with a stable `code`; field errors flat under `errors`.

    {"type": "/api/docs/#invalid", "title": "…", "status": 400, "code": "invalid", "detail": "…",
     "errors": {"to.0": ["no @ in the address"]}}
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from queues.engine import log

logger = log.get(__name__)

MEDIA_TYPE = "application/problem+json"

CODES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The body is not a JSON object that can be read"),
    "invalid": (400, "Some fields are not valid"),
    "idempotency_key_invalid": (400, "The Idempotency-Key header is not valid"),
    "not_authenticated": (401, "Authentication is needed"),
    "token_invalid": (401, "The token is not known"),
    "token_expired": (401, "The token has expired"),
    "token_revoked": (401, "The token was revoked"),
    "permission_denied": (403, "This needs a permission that the user lacks"),
    "not_found": (404, "There is nothing here"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "not_acceptable": (406, "The answer can only be JSON"),
    "too_large": (413, "The request is too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "idempotency_key_reused": (422, "The idempotency key was used before with other content"),
    "throttled": (429, "Too many requests"),
    "internal": (500, "Something went wrong here"),
    "unavailable": (503, "The request could not be stored; send it again"),
}
"""Every code with its status and title; part of the API, so none is ever renamed."""

_RENAMED = {"parse_error": "malformed", "authentication_failed": "not_authenticated", "error": "internal"}
"""DRF's words -> ours."""


class Problem(exceptions.APIException):
    """An error of one of our codes, with words for this case."""

    def __init__(self, code: str, detail: str, *, errors: dict[str, list[str]] | None = None) -> None:
        self.status_code = CODES[code][0]
        self.errors = errors
        super().__init__(detail, code)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every error the API answers itself. None for a bug, which Django logs and answers."""
    if isinstance(error, DatabaseError | InterfaceError):
        set_rollback()
        logger.error("api.unavailable", error=type(error).__name__)
        answer = Response(_body("unavailable", "The database did not take it."), status=503, content_type=MEDIA_TYPE)
        answer["Retry-After"] = "5"
        return answer
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return response
    if isinstance(error, exceptions.ValidationError):
        body = _body("invalid", "See errors.", errors=dict(flat(error.detail)))
    else:
        codes = error.get_codes()
        code = _RENAMED.get(str(codes), str(codes))
        body = _body(code, str(error.detail), status=error.status_code, errors=getattr(error, "errors", None))
    response.data = body
    response.content_type = MEDIA_TYPE
    return response


def flat(detail: Any, *, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """DRF's nested errors as pairs of `attachments.0.name` and messages."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            # `non_field_errors` is DRF's word for the object itself
            step = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from flat(inner, path=step)
    elif isinstance(detail, list) and any(isinstance(each, dict | list) for each in detail):
        for number, inner in enumerate(detail):
            if inner:
                yield from flat(inner, path=f"{path}.{number}" if path else str(number))
    else:
        yield path or "body", [str(each) for each in (detail if isinstance(detail, list) else [detail])]


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler404`: a problem under /api/, the usual page elsewhere."""
    if request.path.startswith("/api/"):
        return _json("not_found", "No such address; mind the slash at the end.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`: a problem under /api/, the usual page elsewhere."""
    if request.path.startswith("/api/"):
        return _json("internal", "It was logged.")
    return defaults.server_error(request)


def _json(code: str, detail: str) -> JsonResponse:
    return JsonResponse(_body(code, detail), status=CODES[code][0], content_type=MEDIA_TYPE)


def _body(
    code: str, detail: str, *, status: int | None = None, errors: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    own, title = CODES.get(code, (status or 500, HTTPStatus(status or 500).phrase))
    body: dict[str, Any] = {
        "type": f"/api/docs/#{code}",
        "title": title,
        "status": status or own,
        "code": code,
        "detail": detail,
    }
    return body | ({"errors": errors} if errors else {})
