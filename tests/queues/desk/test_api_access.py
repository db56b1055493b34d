"""Who may call what: every address of the API, every method, every kind of caller."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated

from config import settings as project
from queues.desk.api import urls
from queues.email import emails
from tests.queues.desk.api_caller import Program, problem, user_with

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MAIL: dict[str, Any] = {"to": ["anna@example.com"], "subject": "Hello", "text": "Good morning"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALLOWED = {
    "/api/v1/emails/": {"GET": 400, "HEAD": 400, "POST": 202},
    "/api/v1/emails/{mail}/": {"GET": 200, "HEAD": 200},
}
"""Address -> method -> what a caller with all permissions gets; any other method is 405."""
PUBLIC = {"/api/schema/", "/api/docs/"}


def anonymous() -> Client:
    return Client()


def wrong_token() -> Client:
    return Client(headers={"Authorization": "Bearer rdr_" + "x" * 43})


def wrong_scheme() -> Client:
    return Client(headers={"Authorization": "Basic dXNlcjpwYXNzd29yZA=="})


def expired() -> Client:
    return Program("add_emailmessage", "view_emailmessage", expires_at=timezone.now() - timedelta(seconds=1)).client


def revoked() -> Client:
    program = Program("add_emailmessage", "view_emailmessage")
    program.token.revoke(now=timezone.now())
    return program.client


def inactive() -> Client:
    return Program(user=User.objects.create_superuser("left", is_active=False)).client


def without_permission() -> Client:
    return Program().client


def with_other_permission() -> Client:
    return Program("delete_emailmessage", "change_emailmessage", "view_attempt").client


def session_without_permission() -> Client:
    client = Client()
    client.force_login(user_with())
    return client


def permitted() -> Client:
    return Program("add_emailmessage", "view_emailmessage").client


def session() -> Client:
    client = Client()
    client.force_login(user_with("add_emailmessage", "view_emailmessage"))
    return client


def ask(client: Client, method: str, path: str) -> Any:
    pk = emails.enqueue(**MAIL).pk
    body = json.dumps(MAIL) if method == "POST" else ""
    return client.generic(method, path.format(mail=pk), body, content_type="application/json")


def test_the_matrix_knows_every_address():
    known = {path.format(mail=1) for path in ALLOWED} | PUBLIC
    paths = {f"/{pattern.pattern}".replace("<id:pk>", "1") for pattern in urls.urlpatterns}
    # Those of queues have a matrix of their own: their rights are those of the queue and the act.
    assert {path for path in paths if not path.startswith("/api/v1/queues/")} == known


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ALLOWED)
@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (anonymous, "not_authenticated"),
        (wrong_scheme, "not_authenticated"),
        (wrong_token, "token_invalid"),
        (inactive, "token_invalid"),
        (expired, "token_expired"),
        (revoked, "token_revoked"),
    ],
)
def test_who_is_not_known_gets_401(caller: Callable[[], Client], code: str, path: str, method: str):
    response = ask(caller(), method, path)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    if method != "HEAD":
        assert problem(response)["code"] == code


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ALLOWED)
@pytest.mark.parametrize("caller", [without_permission, with_other_permission, session_without_permission])
def test_who_lacks_the_permission_gets_403(caller: Callable[[], Client], path: str, method: str):
    response = ask(caller(), method, path)
    assert response.status_code == (403 if method in ALLOWED[path] else 405)
    if method != "HEAD":
        assert problem(response)["code"] in {"permission_denied", "method_not_allowed"}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ALLOWED)
@pytest.mark.parametrize("caller", [permitted, session])
def test_who_is_permitted_gets_through(caller: Callable[[], Client], path: str, method: str):
    response = ask(caller(), method, path)
    assert response.status_code == ALLOWED[path].get(method, 405)
    assert "no-store" in response.headers["Cache-Control"]


def test_posting_needs_the_permission_to_add_and_reading_does_not_give_it():
    assert ask(Program("view_emailmessage").client, "POST", "/api/v1/emails/").status_code == 403
    assert ask(Program("add_emailmessage").client, "POST", "/api/v1/emails/").status_code == 202


def test_a_session_needs_the_csrf_token_and_a_bearer_token_does_not():
    client = Client(enforce_csrf_checks=True)
    client.force_login(user_with("add_emailmessage"))
    response = ask(client, "POST", "/api/v1/emails/")
    assert (response.status_code, problem(response)["code"]) == (403, "permission_denied")
    program = Program("add_emailmessage")
    program.client.handler.enforce_csrf_checks = True
    assert ask(program.client, "POST", "/api/v1/emails/").status_code == 202


OF_ITS_OBJECT = {"Panels", "OnePanel", "Refresh"}
"""Views whose right is membership of the object itself: analytics' own access tests go through them."""

OWN_DEVICES = {"Devices", "Device", "Verify"}
"""Views of one's own devices: people who are logged in may have some, programs need the permission they name."""


def test_every_api_view_is_behind_our_authentication_and_permissions():
    """A view that changes them, or names no permission, is seen here."""
    for pattern in _api_patterns():
        view = getattr(pattern.callback, "cls", None)
        if f"/{pattern.pattern}" in PUBLIC:
            assert view is None
            continue
        assert view is not None
        if view.__name__ in OF_ITS_OBJECT:
            assert all(issubclass(each, IsAuthenticated) for each in view.permission_classes)
            continue
        wanted = "OwnDevices" if view.__name__ in OWN_DEVICES else "Permitted"
        assert [each.__name__ for each in view.permission_classes] == [wanted]
        assert len(view.authentication_classes) == len(project.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"])
        handled = {method for method in METHODS if hasattr(view, method.lower())} - {"HEAD", "OPTIONS"}
        assert handled == set(view.needs)
        assert all(view.needs.values())


def _api_patterns() -> list[URLPattern]:
    found: list[URLPattern] = []
    pending = list(get_resolver().url_patterns)
    while pending:
        each = pending.pop()
        if isinstance(each, URLPattern):
            found += [each] if str(each.pattern).startswith("api/") else []
        else:
            pending += each.url_patterns
    return found
