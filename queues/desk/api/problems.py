"""Errors of the API: `application/problem+json` (RFC 9457) with a stable `code`; field errors flat under `errors`.

{"type": "/api/docs/#invalid", "title": "…", "status": 400, "code": "invalid", "detail": "…",
 "errors": {"to.0": ["no @ in the address"]}}
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rest_framework import exceptions

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
    "stale": (409, "What it is about is not any more as it was"),
    "too_large": (413, "The request is too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "idempotency_key_reused": (422, "The idempotency key was used before with other content"),
    "protected": (422, "A field that nobody may change"),
    "throttled": (429, "Too many requests"),
    "internal": (500, "Something went wrong here"),
    "unavailable": (503, "The request could not be stored; send it again"),
}
"""Every code with its status and title; part of the API, so none is ever renamed."""


class Problem(exceptions.APIException):
    """An error of one of our codes, with words for this case."""

    def __init__(self, code: str, detail: str, *, errors: dict[str, list[str]] | None = None) -> None:
        self.status_code = CODES[code][0]
        self.errors = errors
        super().__init__(detail, code)


def body(
    code: str, detail: str, *, status: int | None = None, errors: dict[str, list[str]] | None = None
) -> dict[str, Any]:
    """What the answer to an error holds."""
    own, title = CODES.get(code, (status or 500, HTTPStatus(status or 500).phrase))
    described: dict[str, Any] = {
        "type": f"/api/docs/#{code}",
        "title": title,
        "status": status or own,
        "code": code,
        "detail": detail,
    }
    return described | ({"errors": errors} if errors else {})
