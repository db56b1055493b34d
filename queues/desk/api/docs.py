"""The schema (OpenAPI 3.1) and a page over it, rendered here: no script, nothing from another site."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

from queues.desk.api.problems import CODES

METHODS = ("get", "post", "put", "patch", "delete")
NESTING_MAX = 3


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table of fields; `name` of an inner one has dots."""

    name: str
    type: str
    required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    method: str
    path: str
    anchor: str
    summary: str
    words: str
    parameters: list[Field]
    body: list[Field]
    answer: list[Field]
    statuses: list[str]


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes the token."""

    target_class = "queues.desk.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """OpenAPI's words for it."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "rdr_…"}


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The schema as JSON."""
    return JsonResponse(_schema(), json_dumps_params={"ensure_ascii": False, "indent": 1})


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The page for people."""
    codes = [(code, status, title) for code, (status, title) in CODES.items()]
    return render(
        request,
        "api/docs.html",
        {"operations": _operations(), "codes": codes, "base_url": settings.BASE_URL, "title": _title()},
    )


@functools.cache
def _schema() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document


def _title() -> str:
    return str(_schema()["info"]["title"])


@functools.cache
def _operations() -> list[Operation]:
    document = _schema()
    return [
        _operation(document, path, method, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        if method in METHODS
    ]


def _operation(document: Mapping[str, Any], path: str, method: str, described: Mapping[str, Any]) -> Operation:
    parameters = [
        Field(
            name=each["name"],
            type=f"{each['in']}, {_type(each['schema'])}",
            required=each.get("required", False),
            words=each.get("description", "").replace("`", ""),
        )
        for each in described.get("parameters", ())
    ]
    answers = described["responses"]
    good: Mapping[str, Any] = next((answer for status, answer in answers.items() if status.startswith("2")), {})
    return Operation(
        method=method.upper(),
        path=path,
        anchor=described["operationId"],
        summary=described.get("summary", ""),
        words=described.get("description", ""),
        parameters=parameters,
        body=list(_fields(document, _content(described.get("requestBody", {})))),
        answer=list(_fields(document, _content(good))),
        statuses=list(answers),
    )


def _content(part: Mapping[str, Any]) -> Mapping[str, Any]:
    described: Mapping[str, Any] = next(iter(part.get("content", {}).values()), {})
    found: Mapping[str, Any] = described.get("schema", {})
    return found


def _fields(
    document: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[Field]:
    """The fields of an object, those of objects inside it with a dotted name."""
    resolved = _resolve(document, schema)
    required = resolved.get("required", ())
    for name, inner in resolved.get("properties", {}).items():
        dotted = f"{prefix}{name}"
        target = _resolve(document, inner)
        words = inner.get("description") or target.get("description", "")
        yield Field(dotted, _type(target), name in required, words.replace("`", ""))
        below = _resolve(document, target.get("items", target))
        if depth < NESTING_MAX and below.get("properties"):
            yield from _fields(document, below, f"{dotted}[]." if "items" in target else f"{dotted}.", depth + 1)


def _resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = schema.get("allOf") or schema.get("oneOf") or ()
    reference = schema.get("$ref") or (parts[0].get("$ref") if parts else None)
    if not reference:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _type(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", "object" if "properties" in schema else "")
    words = " or ".join(kinds) if isinstance(kinds, list) else str(kinds or "any")
    if "enum" in schema:
        words = " | ".join(str(each) for each in schema["enum"])
    return f"{words} ({schema['format']})" if "format" in schema else words
