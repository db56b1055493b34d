"""Whose word about the client is believed, and which policy each page carries."""

from __future__ import annotations

import ipaddress

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from config.middleware import TrustedProxies


def seen(**headers: str) -> HttpRequest:
    """The request as a view behind the middleware sees it."""
    kept: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        kept.append(request)
        return HttpResponse()

    TrustedProxies(view)(RequestFactory().get("/", headers=None, **headers))  # type: ignore[arg-type]
    return kept[0]


def test_a_stranger_cannot_say_who_it_is():
    """Without trusted proxies the claims are dropped, also the claim of having come by https."""
    request = seen(REMOTE_ADDR="203.0.113.9", HTTP_X_FORWARDED_FOR="10.0.0.1", HTTP_X_FORWARDED_PROTO="https")
    assert request.META["REMOTE_ADDR"] == "203.0.113.9"
    assert request.scheme == "http"
    assert "HTTP_X_FORWARDED_FOR" not in request.META


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("10.9.9.9", "10.9.9.9"),
        ("nonsense", "10.0.0.2"),
        ("", "10.0.0.2"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_our_proxy_is_believed_up_to_the_first_stranger(settings: Settings, claims: str, client: str):
    """What stands left of the first address that is not ours was written by a stranger."""
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
    request = seen(REMOTE_ADDR="10.0.0.2", HTTP_X_FORWARDED_FOR=claims, HTTP_X_FORWARDED_PROTO="https")
    assert request.META["REMOTE_ADDR"] == client
    assert request.scheme == "https"


@pytest.mark.django_db
def test_only_the_admin_may_evaluate_scripts(client: Client):
    """Unfold needs unsafe-eval; no page gets inline scripts."""
    admin = client.get("/admin/login/").headers["Content-Security-Policy"]
    other = client.get("/nowhere/").headers["Content-Security-Policy"]
    assert "'unsafe-eval'" in admin
    assert "unsafe" not in other
    script = next(part for part in admin.split("; ") if part.startswith("script-src"))
    assert "'unsafe-inline'" not in script
