"""The schema and the page over it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.validation import validate_schema

from queues.desk.api.problems import CODES


@pytest.fixture
def schema() -> dict[str, Any]:
    response = Client().get("/api/schema/")
    assert response.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = response.json()
    return body


def test_the_schema_is_valid_openapi_3_1(schema: dict[str, Any]):
    assert schema["openapi"].startswith("3.1")
    validate_schema(schema)


def test_it_says_what_posting_a_mail_takes_and_gives(schema: dict[str, Any]):
    post = schema["paths"]["/api/v1/emails/"]["post"]
    assert set(post["responses"]) >= {"202", "400", "401", "403", "413", "415", "422", "503"}
    assert set(post["responses"]["400"]["content"]) == {"application/problem+json"}
    assert [each["name"] for each in post["parameters"]] == ["Idempotency-Key"]
    assert {"token": []} in post["security"]
    form = schema["components"]["schemas"]["EmailForm"]["properties"]
    assert {"to", "subject", "html", "attachments", "send_at", "priority"} <= set(form)
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_the_page_shows_every_operation_and_every_error(schema: dict[str, Any]):
    response = Client().get("/api/docs/")
    page = response.content.decode()
    for path in schema["paths"]:
        assert path in page
    for code in CODES:
        assert f'id="{code}"' in page
    assert "attachments[].content" in page


def test_the_page_needs_nothing_that_the_policy_forbids():
    response = Client().get("/api/docs/")
    page = response.content.decode()
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "<script" not in page
    assert " style=" not in page
    loaded = re.findall(r'<(?:link|img|script)[^>]*(?:href|src)="([^"]+)"', page)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)


def test_nobody_is_told_more_than_the_schema():
    assert Client().post("/api/schema/").status_code == 405
    assert not Client().get("/api/docs/").cookies
