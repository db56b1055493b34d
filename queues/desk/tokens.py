"""API tokens: `rdr_…`, shown once, stored as a hash, expiring, revocable; a token may do what its user may do."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.db.models import Q

PREFIX = "rdr_"
FORM = re.compile(r"rdr_[A-Za-z0-9_-]{43}")
SHOWN = 10
"""Characters of a token that stay readable, to tell tokens apart."""
LIFETIME = timedelta(days=365)
USE_NOTED_EVERY = timedelta(minutes=1)


class Refused(ValueError):
    """The token does not open anything; `code` says why: `token_invalid`, `token_expired` or `token_revoked`."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        super().__init__(reason)


class ApiToken(models.Model):
    """One program's key. The secret itself is stored nowhere: 256 random bits need no salt and no slow hash."""

    name = models.CharField(max_length=100)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API token"
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def state(self, *, now: datetime) -> str:
        """`active`, `expired` or `revoked` at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def revoke(self, *, now: datetime) -> bool:
        """End it for good; False if it was revoked before."""
        return bool(ApiToken.objects.filter(pk=self.pk, revoked_at__isnull=True).update(revoked_at=now))


def issue(
    *,
    user: AbstractBaseUser,
    name: str,
    now: datetime,
    expires_at: datetime | None = None,
    by: AbstractBaseUser | None = None,
) -> tuple[ApiToken, str]:
    """Make a token for the user; return its row and the secret, which cannot be had again.

    `expires_at` None means that it never expires.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        name=name,
        user_id=user.pk,
        prefix=secret[:SHOWN],
        digest=_digest(secret),
        created_at=now,
        created_by_id=by.pk if by is not None else None,
        expires_at=expires_at,
    )
    return token, secret


def check(secret: str, *, now: datetime) -> ApiToken:
    """The token with this secret, with its user loaded. Raises Refused; also if the user may not log in any more."""
    token = None
    if FORM.fullmatch(secret):
        token = ApiToken.objects.select_related("user").filter(digest=_digest(secret)).first()
    if token is None or not token.user.is_active:
        raise Refused("token_invalid", "This token is not known, or its user is not active.")
    match token.state(now=now):
        case "revoked":
            raise Refused("token_revoked", "This token was revoked.")
        case "expired":
            raise Refused("token_expired", "This token has expired.")
    _note_use(token, now=now)
    return token


def _note_use(token: ApiToken, *, now: datetime) -> None:
    """Remember when it was last used, once a minute at most: a request should not cost a write."""
    stale = now - USE_NOTED_EVERY
    if token.last_used_at is None or token.last_used_at <= stale:
        unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lte=stale)
        ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
