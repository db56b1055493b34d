"""What is thrown at the API: it answers with a problem and stores nothing, and never fails itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import Http404
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queues.desk.api import errors, strict_json
from queues.desk.api.email_forms import EmailForm
from queues.email.models import EmailMessage
from tests.queues.desk.api_caller import Program, problem

pytestmark = pytest.mark.django_db

URL = "/api/v1/emails/"
MAIL: dict[str, Any] = {"to": ["anna@example.com"], "subject": "Hello", "text": "Good morning"}
FIELDS = list(EmailForm().fields)


@pytest.fixture
def program() -> Program:
    return Program("add_emailmessage")


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nothing",
        b"{'to': 1}",
        b'{"to": NaN}',
        b'{"max_retries": Infinity}',
        b'{"metadata": {"a": 1e999}}',
        b'{"metadata": {"a": ' + b"9" * 5000 + b"}}",
        b'{"to": [], "to": []}',
        b'{"metadata": {"a": 1, "a": 2}}',
        b'{"subject": "\\u0000"}',
        b'{"subject": "\\ud800"}',
        b'{"metadata": {"\\ud800": 1}}',
        b'{"metadata": {"a": [["\\u0000"]]}}',
        b'{"subject": "\xff\xfe"}',
        b"\xef\xbb\xbf{}",
        '{"to": []}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"metadata": ' + b'{"a": ' * 30 + b"1" + b"}" * 31,
        b'{"a":' * 50_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_not_clean_json_is_malformed(program: Program, raw: bytes):
    response = program.post(URL, None, raw=raw)
    assert (response.status_code, problem(response)["code"]) == (400, "malformed")


@pytest.mark.parametrize("raw", [b"[]", b"null", b"7", b'"x"', b"[[]]", b"{}", b'{"\\r\\nX: y": 1}'])
def test_json_that_is_no_mail_is_invalid(program: Program, raw: bytes):
    response = program.post(URL, None, raw=raw)
    assert (response.status_code, problem(response)["code"]) == (400, "invalid")


def test_no_body_is_invalid(program: Program):
    assert problem(program.post(URL, None, raw=b""))["code"] == "invalid"


def test_a_body_that_is_too_large_is_not_read_to_its_end(program: Program, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(strict_json, "BODY_MAX", 1000)
    response = program.post(URL, MAIL | {"text": "x" * 1000})
    assert (response.status_code, problem(response)["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "a/b;c"]
)
def test_another_type_of_body_is_refused(program: Program, content_type: str):
    response = program.client.generic("POST", URL, json.dumps(MAIL), content_type=content_type)
    assert (response.status_code, problem(response)["code"]) == (415, "unsupported_media_type")


def test_json_with_a_charset_is_taken(program: Program):
    response = program.client.post(URL, json.dumps(MAIL), content_type="application/json; charset=utf-8")
    assert response.status_code == 202


def test_only_json_is_answered(program: Program):
    response = program.client.get(URL, headers={"Accept": "text/html"})
    assert (response.status_code, problem(response)["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"])
def test_other_methods_are_not_allowed(program: Program, method: str):
    response = program.client.generic(method, URL)
    assert (response.status_code, problem(response)["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["0", "1" * 18, "1" * 19, "-1", "abc", "%00", "1.0"])
def test_any_id_is_answered(program: Program, path: str):
    assert program.get(f"{URL}{path}/").status_code == 404


def test_an_address_that_is_none_and_a_bug_are_problems_too():
    request = RequestFactory().get("/api/v1/email")
    assert problem(errors.page_not_found(request, Http404()))["code"] == "not_found"
    assert problem(errors.server_error(request))["code"] == "internal"
    page = RequestFactory().get("/nowhere/")
    assert errors.page_not_found(page, Http404()).headers["Content-Type"].startswith("text/html")
    assert errors.server_error(page).headers["Content-Type"].startswith("text/html")


def test_a_user_given_word_in_an_error_is_only_a_word(program: Program):
    body = problem(program.post(URL, MAIL | {"<script>": 1}))
    assert list(body["errors"]) == ["<script>"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(field=st.sampled_from(FIELDS), value=JSON)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_any_field_is_stored_or_named(program: Program, field: str, value: Any):
    before = EmailMessage.objects.count()
    response = program.post(URL, MAIL | {field: value})
    if response.status_code == 202:
        assert EmailMessage.objects.count() == before + 1
    else:
        body = problem(response)
        assert body["code"] in {"invalid", "malformed"}
        assert EmailMessage.objects.count() == before


@given(raw=st.binary(max_size=200))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered(program: Program, raw: bytes):
    assert problem(program.post(URL, None, raw=raw))["status"] == 400


def test_an_unhappy_client_without_a_token_costs_no_parsing(monkeypatch: pytest.MonkeyPatch):
    def never(*args: Any, **options: Any) -> None:
        raise AssertionError("the body was read")

    monkeypatch.setattr(strict_json.StrictJSONParser, "parse", never)
    response = Client().post(URL, b"[" * 1000, content_type="application/json")
    assert response.status_code == 401
