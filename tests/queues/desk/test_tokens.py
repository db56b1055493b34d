"""API tokens: shown once, stored as a hash, expiring, revocable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from queues.desk import tokens
from queues.desk.tokens import ApiToken

pytestmark = pytest.mark.django_db

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("shop")


def test_a_token_opens_and_its_secret_is_stored_nowhere(user: User):
    token, secret = tokens.issue(user=user, name="shop", now=NOW)
    assert tokens.FORM.fullmatch(secret)
    assert tokens.check(secret, now=NOW).user == user
    row = ApiToken.objects.values().get(pk=token.pk)
    assert secret not in str(row)
    assert secret.startswith(row["prefix"])
    assert len(row["prefix"]) == 10


def test_an_expired_token_opens_no_more(user: User):
    _, secret = tokens.issue(user=user, name="shop", now=NOW, expires_at=NOW + timedelta(days=1))
    tokens.check(secret, now=NOW + timedelta(days=1, seconds=-1))
    with pytest.raises(tokens.Refused) as refused:
        tokens.check(secret, now=NOW + timedelta(days=1))
    assert refused.value.code == "token_expired"


def test_a_revoked_token_opens_no_more(user: User):
    token, secret = tokens.issue(user=user, name="shop", now=NOW)
    assert token.revoke(now=NOW)
    assert not token.revoke(now=NOW), "it was revoked already"
    with pytest.raises(tokens.Refused) as refused:
        tokens.check(secret, now=NOW)
    assert refused.value.code == "token_revoked"


def test_a_token_of_someone_who_left_opens_no_more(user: User):
    _, secret = tokens.issue(user=user, name="shop", now=NOW)
    User.objects.update(is_active=False)
    with pytest.raises(tokens.Refused) as refused:
        tokens.check(secret, now=NOW)
    assert refused.value.code == "token_invalid"


@pytest.mark.parametrize("secret", ["", "rdr_", "rdr_" + "a" * 43, "x" * 5000, "rdr_ä", "rdr_\x00" + "a" * 42])
def test_what_is_no_token_opens_nothing(secret: str):
    with pytest.raises(tokens.Refused) as refused:
        tokens.check(secret, now=NOW)
    assert refused.value.code == "token_invalid"


def test_its_use_is_noted_once_a_minute(user: User, django_assert_num_queries: DjangoAssertNumQueries):
    token, secret = tokens.issue(user=user, name="shop", now=NOW)
    tokens.check(secret, now=NOW)
    with django_assert_num_queries(1):
        tokens.check(secret, now=NOW + timedelta(seconds=59))
    token.refresh_from_db()
    assert token.last_used_at == NOW
    with django_assert_num_queries(2):
        tokens.check(secret, now=NOW + timedelta(seconds=60))
    token.refresh_from_db()
    assert token.last_used_at == NOW + timedelta(seconds=60)


def test_the_command_prints_the_token_alone_on_standard_output(user: User):
    out, err = StringIO(), StringIO()
    call_command("create_token", "shop", "--name", "shop, production", "--days", "30", stdout=out, stderr=err)
    token = tokens.check(out.getvalue().strip(), now=timezone.now())
    assert token.name == "shop, production"
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert out.getvalue().strip() not in err.getvalue()


def test_the_command_makes_one_that_never_expires(user: User):
    out = StringIO()
    call_command("create_token", "shop", "--name", "x", "--never-expires", stdout=out, stderr=StringIO())
    assert tokens.check(out.getvalue().strip(), now=timezone.now() + timedelta(days=5000)).expires_at is None


def test_the_command_says_what_is_wrong():
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("create_token", "nobody", "--name", "x")
    User.objects.create_user("shop")
    with pytest.raises(CommandError, match="--days"):
        call_command("create_token", "shop", "--name", "x", "--days", "0")
