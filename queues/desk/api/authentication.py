"""Who calls the API: programs by `Authorization: Bearer rdr_…`, people by their session; and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from queues.desk import tokens

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which itself loads this module


class TokenAuthentication(BaseAuthentication):
    """A request is its token's user; `request.auth` is the token."""

    def authenticate(self, request: Request) -> tuple[Any, tokens.ApiToken] | None:
        """The user and the token; None if there is no bearer token, AuthenticationFailed if it is refused."""
        scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            token = tokens.check(secret.strip(), now=timezone.now())
        except tokens.Refused as refused:
            raise AuthenticationFailed(str(refused), code=refused.code) from refused
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for (RFC 6750)."""
        return "Bearer"


class Permitted(BasePermission):
    """The user has one of the permissions that the view names for the method in `needs`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the method may run."""
        method = "GET" if request.method == "HEAD" else request.method or ""
        needs: dict[str, tuple[str, ...]] = getattr(view, "needs", {})
        user = request.user
        if not (user and user.is_authenticated):
            return False
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            return True  # so that the answer is 405
        return any(user.has_perm(name) for name in needs.get(method, ()))
