"""API tokens at the desk: who may make them for whom, what is shown, and that all of it is in the ledger."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from queues.desk import operations, token_acts, tokens
from queues.desk.ledger import LedgerEntry
from queues.desk.tokens import ApiToken
from tests.queues.desk.api_caller import user_with

pytestmark = [pytest.mark.django_db, pytest.mark.once]

MAKE, LIST = "/admin/queues/apitoken/make/", "/admin/queues/apitoken/"


def staff(*permissions: str, **fields: Any) -> tuple[Client, User]:
    user = user_with(*permissions, is_staff=True, **fields)
    client = Client()
    client.force_login(user)
    return client, user


def form(user: User, **changes: Any) -> dict[str, Any]:
    return {"name": "shop", "user": user.pk, "days": 30, "reason": "the shop needs one"} | changes


def test_a_token_is_shown_once_and_opens():
    client, user = staff("add_apitoken", "view_apitoken")
    response = client.post(MAKE, form(user))
    (secret,) = re.findall(r'value="(rdr_[^"]+)"', response.content.decode())
    token = tokens.check(secret, now=timezone.now())
    assert (token.user, token.name, token.created_by) == (user, "shop", user)
    assert token.expires_at is not None
    assert "no-store" in response.headers["Cache-Control"]
    assert set(response.cookies) <= {"csrftoken"}, "neither a message nor a session carries it"
    for path in (LIST, f"{LIST}{token.pk}/change/"):
        page = client.get(path).content.decode()
        assert token.prefix in page
        assert secret not in page
        assert token.digest not in page


def test_the_ledger_has_it_without_the_secret():
    client, user = staff("add_apitoken")
    client.post(MAKE, form(user))
    entry = LedgerEntry.objects.get()
    assert (entry.act, entry.actor, entry.reason, entry.items) == (
        "create_token",
        user,
        "the shop needs one",
        [ApiToken.objects.get().pk],
    )
    assert not re.search(r"rdr_\S{12,}", f"{entry.plan} {entry.result} {entry.reason}")


def test_nobody_makes_a_token_with_the_permissions_of_another():
    client, _ = staff("add_apitoken")
    admin = User.objects.create_superuser("root")
    response = client.post(MAKE, form(admin))
    assert response.status_code == 400
    assert not ApiToken.objects.exists()


def test_the_rule_holds_below_the_form_too():
    _, maker = staff("add_apitoken")
    said: dict[str, Any] = {"name": "x", "lifetime": None, "reason": "x", "now": timezone.now()}
    actor = operations.Actor.of(maker)
    with pytest.raises(PermissionDenied):
        token_acts.make(user=User.objects.create_superuser("root"), actor=actor, **said)
    with pytest.raises(PermissionDenied):
        token_acts.make(user=maker, actor=operations.Actor.of(user_with()), **said)
    with pytest.raises(operations.ReasonMissing):
        token_acts.make(user=maker, actor=actor, **(said | {"reason": " "}))
    assert not ApiToken.objects.exists()


def test_an_administrator_makes_tokens_for_programs():
    client, _ = staff(is_superuser=True)
    program = user_with("add_emailmessage")
    assert client.post(MAKE, form(program, days=0)).status_code == 200
    token = ApiToken.objects.get()
    assert (token.user, token.expires_at) == (program, None)


@pytest.mark.parametrize("change", [{"reason": " "}, {"name": ""}, {"days": 7}, {"user": 0}])
def test_a_form_that_is_not_filled_in_makes_nothing(change: dict[str, Any]):
    client, user = staff("add_apitoken")
    assert client.post(MAKE, form(user) | change).status_code == 400
    assert not ApiToken.objects.exists()


def test_revoking_needs_a_post_and_a_reason_and_is_in_the_ledger():
    client, user = staff("change_apitoken", "view_apitoken")
    token, secret = tokens.issue(user=User.objects.create_user("shop"), name="shop", now=timezone.now())
    path = reverse("admin:queues_apitoken_revoke", args=[token.pk])
    assert client.get(path, {"reason": "x"}).status_code == 200
    assert client.post(path, {"reason": ""}).status_code == 400
    tokens.check(secret, now=timezone.now())
    assert client.post(path, {"reason": "it leaked"}).status_code == 302
    with pytest.raises(tokens.Refused):
        tokens.check(secret, now=timezone.now())
    entry = LedgerEntry.objects.get()
    assert (entry.act, entry.actor, entry.reason) == ("revoke_token", user, "it leaked")
    client.post(path, {"reason": "again"})
    assert LedgerEntry.objects.count() == 1, "nothing happened the second time"


def test_everybody_on_the_staff_may_revoke_their_own():
    client, user = staff()
    token, _ = tokens.issue(user=user, name="mine", now=timezone.now())
    client.post(reverse("admin:queues_apitoken_revoke", args=[token.pk]), {"reason": "lost"})
    token.refresh_from_db()
    assert token.revoked_at is not None


@pytest.mark.parametrize("permissions", [(), ("view_apitoken",), ("delete_apitoken",)])
def test_others_change_nothing(permissions: tuple[str, ...]):
    client, _ = staff(*permissions)
    victim = User.objects.create_user("shop")
    token, _ = tokens.issue(user=victim, name="shop", now=timezone.now())
    assert client.post(MAKE, form(victim)).status_code == 403
    assert client.post(reverse("admin:queues_apitoken_revoke", args=[token.pk]), {"reason": "x"}).status_code == 403
    assert client.get(LIST).status_code == (200 if "view_apitoken" in permissions else 403)
    for path in (f"{LIST}add/", f"{LIST}{token.pk}/delete/"):
        assert client.post(path, {"post": "yes"}).status_code == 403
    token.refresh_from_db()
    assert token.revoked_at is None


@pytest.mark.parametrize("number", [0, 10**15, 10**30])
def test_a_token_that_is_not_there_is_not_found(number: int):
    client, _ = staff(is_superuser=True)
    assert client.get(f"{LIST}{number}/revoke/").status_code == 404
