"""How the API tests call it: as a program with a token of a user that has the given permissions, or as a person."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from queues.desk import tokens

_numbers = itertools.count()


def user_with(*permissions: str, **fields: Any) -> User:
    """A new user with these permissions of the queues app."""
    user = User.objects.create_user(f"user{next(_numbers)}", **fields)
    found = Permission.objects.filter(content_type__app_label="queues", codename__in=permissions)
    assert found.count() == len(permissions)
    user.user_permissions.set(found)
    return user


class Program:
    """A program with a token."""

    def __init__(self, *permissions: str, user: User | None = None, expires_at: datetime | None = None) -> None:
        self.user = user or user_with(*permissions)
        now = timezone.now() - timedelta(days=1)
        self.token, self.secret = tokens.issue(user=self.user, name="tests", now=now, expires_at=expires_at)
        self.client = Client(headers={"Authorization": f"Bearer {self.secret}"}, raise_request_exception=True)

    def post(self, path: str, body: Any, *, key: str | None = None, raw: bytes | None = None) -> Any:
        """POST JSON."""
        headers = {"Idempotency-Key": key} if key is not None else {}
        data = raw if raw is not None else json.dumps(body)
        return self.client.post(path, data, content_type="application/json", headers=headers)

    def get(self, path: str, query: dict[str, str] | None = None) -> Any:
        """GET."""
        return self.client.get(path, query)


def problem(response: Any) -> dict[str, Any]:
    """The problem an error answer describes; fails if it is not one that is well-formed."""
    assert response.headers["Content-Type"] == "application/problem+json", response.content[:500]
    body: dict[str, Any] = json.loads(response.content)
    assert body["status"] == response.status_code
    assert {"type", "title", "detail", "code"} <= set(body)
    return body
