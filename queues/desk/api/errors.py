"""Answers errors: DRF's exception handler, and Django's pages for what never reached DRF."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from queues.desk.api import problems
from queues.engine import log

logger = log.get(__name__)

_RENAMED = {"parse_error": "malformed", "authentication_failed": "not_authenticated", "error": "internal"}
"""DRF's words -> ours."""


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error the API answers itself. None for a bug, which Django logs and answers."""
    if isinstance(error, DatabaseError | InterfaceError):
        set_rollback()
        logger.error("api.unavailable", error=type(error).__name__)
        body = problems.body("unavailable", "The database did not take it.")
        answer = Response(body, status=503, content_type=problems.MEDIA_TYPE)
        answer["Retry-After"] = "5"
        return answer
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return response
    if isinstance(error, exceptions.ValidationError):
        body = problems.body("invalid", "See errors.", errors=dict(flat(error.detail)))
    else:
        codes = error.get_codes()
        code = _RENAMED.get(str(codes), str(codes))
        errors = getattr(error, "errors", None)
        body = problems.body(code, str(error.detail), status=error.status_code, errors=errors)
    response.data = body
    response.content_type = problems.MEDIA_TYPE
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
    return JsonResponse(problems.body(code, detail), status=problems.CODES[code][0], content_type=problems.MEDIA_TYPE)
