"""Our service account at Google, and the access tokens it gets: google-auth over our own wire."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.auth import exceptions, transport
from google.oauth2 import service_account

from notifications.transports import keys, tokens, wire

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
KIND = tokens.Kind(renew_before=timedelta(minutes=5), at_least=timedelta())
NEEDED = ("type", "project_id", "client_email", "private_key", "token_uri")


class BadCredentials(ValueError):
    """FCM_CREDENTIALS cannot be used. The words never repeat it."""


class Refused(tokens.MakingFailed):
    """Google gives this account no token."""


class Down(tokens.MakingFailed):
    """Google's log-in cannot be reached, or is out of order."""


@dataclass(frozen=True, slots=True)
class Account:
    """A service account with the project it sends for."""

    project: str
    thumbprint: str
    credentials: Any = field(repr=False)
    """google-auth's, without a token: reading its key takes a while, copying it does not."""

    def access_token(self, *, now: datetime, refused: str = "") -> str:
        """One that all workers share. Raises Refused or Down."""
        return tokens.get(f"fcm:{self.thumbprint}", KIND, self._fetch, now=now, refused=refused).text

    def _fetch(self, now: datetime) -> tokens.Token:
        credentials = self.credentials.with_scopes([SCOPE])
        try:
            credentials.refresh(_Request())
        except exceptions.GoogleAuthError as error:
            raise Refused(str(error.args[0] if error.args else error)[:200]) from error
        # google-auth keeps UTC without saying so
        expires_at = (credentials.expiry or datetime.now(tz=UTC)).replace(tzinfo=UTC)
        return tokens.Token(str(credentials.token), now, expires_at)


@functools.lru_cache(maxsize=4)
def account(text: str) -> Account:
    """The account of FCM_CREDENTIALS: the JSON of its key file, or the file's path. Raises BadCredentials."""
    if not text.strip():
        raise BadCredentials("not set")
    try:
        written = text if text.lstrip().startswith("{") else Path(text).expanduser().read_text(encoding="utf-8")
        info = json.loads(written)
    except OSError:
        raise BadCredentials("the file cannot be read") from None
    except (ValueError, RecursionError):
        raise BadCredentials("not JSON") from None
    missing = [name for name in NEEDED if not isinstance(info, dict) or not isinstance(info.get(name), str)]
    if missing:
        raise BadCredentials(f"not the key file of a service account: {', '.join(missing)} missing")
    make: Any = service_account.Credentials.from_service_account_info
    try:
        credentials = make(info)
    except (ValueError, exceptions.GoogleAuthError):
        raise BadCredentials("its private key cannot be read") from None
    who = f"{info['client_email']} {info.get('private_key_id', '')} {info['project_id']}"
    return Account(info["project_id"], keys.thumbprint(who.encode()), credentials)


class _Request(transport.Request):
    """What google-auth asks with. What it would sleep and try again for is Down here: a worker does not sleep."""

    def __call__(
        self, url: Any, method: Any = "POST", body: Any = None, headers: Any = None, timeout: Any = None, **_: Any
    ) -> Any:
        given = body.encode() if isinstance(body, str) else body or b""
        until = time.monotonic() + wire.SEND_SECONDS
        own = wire.Wire()
        try:
            reply = own.post(url, headers=dict(headers or {}), body=given, until=until)
        except wire.NotProcessed as error:
            raise Down(error.words) from error
        finally:
            own.close()
        if reply.status >= 500 or reply.status in {408, 429} or not isinstance(reply.json, dict):
            raise Down(f"{reply.status}")  # no JSON: something between Google and us has answered
        return _Response(reply)


class _Response(transport.Response):
    def __init__(self, reply: wire.Reply) -> None:
        self._reply = reply

    @property
    def status(self) -> int:
        return self._reply.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._reply.headers

    @property
    def data(self) -> bytes:
        return self._reply.body
