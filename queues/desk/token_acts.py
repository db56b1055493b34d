"""Making and revoking API tokens as acts of staff: the permission, the act and its ledger entry in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import transaction

from queues.desk import ledger, tokens
from queues.desk.operations import Actor, ReasonMissing
from queues.desk.tokens import ApiToken

QUEUE = "tokens"
"""Stands for the tokens in the ledger, which else names queues."""


def may_make_for(actor: Actor, user: AbstractBaseUser) -> bool:
    """Whether the actor may make a token for this user: for itself with the permission, for others as a superuser.

    Else whoever may make tokens could act with the permissions of anybody.
    """
    if actor.user is None:
        return actor.may("add", ApiToken)
    return actor.may("add", ApiToken) and (actor.user.pk == user.pk or bool(getattr(actor.user, "is_superuser", False)))


def make(
    *, user: AbstractBaseUser, name: str, lifetime: timedelta | None, actor: Actor, reason: str, now: datetime
) -> tuple[ApiToken, str]:
    """Make a token and return it with its secret. Raises PermissionDenied or ReasonMissing.

    `lifetime` None means that it never expires.
    """
    if not may_make_for(actor, user):
        raise PermissionDenied(f"{actor.name} may not make API tokens for {user.get_username()}")
    expires_at = now + lifetime if lifetime is not None else None
    with transaction.atomic():
        token, secret = tokens.issue(user=user, name=name, now=now, expires_at=expires_at, by=actor.user)
        until = expires_at.date().isoformat() if expires_at else "for ever"
        _record("create_token", token, f"{token} for {user.get_username()}, until {until}", actor, reason, now)
    return token, secret


def revoke(*, token: ApiToken, actor: Actor, reason: str, now: datetime) -> bool:
    """End a token for good; False if it was revoked before. Raises PermissionDenied or ReasonMissing."""
    if not may_revoke(actor, token):
        raise PermissionDenied(f"{actor.name} may not revoke {token}")
    with transaction.atomic():
        if not token.revoke(now=now):
            return False
        _record("revoke_token", token, f"{token} of {token.user.get_username()}", actor, reason, now)
    return True


def may_revoke(actor: Actor, token: ApiToken) -> bool:
    """Whether the actor may end this token: its own always, others with the permission to change tokens."""
    own = actor.user is not None and actor.user.pk == token.user_id
    return own or actor.may("change", ApiToken)


def _record(act: str, token: ApiToken, plan: str, actor: Actor, reason: str, now: datetime) -> None:
    if not reason.strip():
        raise ReasonMissing("an act of staff needs a reason")
    ledger.record(
        act=act,
        actor=actor.user,
        actor_name=actor.name,
        queue=QUEUE,
        items=[token.pk],
        plan=plan,
        reason=reason.strip(),
        request_id=actor.request_id,
        now=now,
    )
