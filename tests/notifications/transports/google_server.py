"""A strict Google on loopback: the token endpoint and FCM's `messages:send`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.notifications.transports import google_schema
from tests.notifications.transports.plain_server import PlainServer, Request, Told

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""google-auth's, whatever the token endpoint is."""
PROJECT = "tests-project"


@cache
def key() -> rsa.RSAPrivateKey:
    """The service account's; one for the run, for it takes a while to make."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class GoogleServer(PlainServer):
    """`issued` are the access tokens that are good; take one out and it is not."""

    def __init__(self) -> None:
        super().__init__(self._tell)
        self._numbers = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """As on the first day."""
        self.requests.clear()
        self.issued: set[str] = set()
        self.grants = 0
        self.grant: Callable[[], Told] | None = None
        self.send: Callable[[dict[str, Any]], Told] = lambda _: Told(200, b'{"name": "projects/p/messages/1"}')

    @cached_property
    def credentials(self) -> str:
        """The key file, as FCM_CREDENTIALS."""
        pem = key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": f"key-{self.port}",
                "private_key": pem.decode(),
                "client_email": f"push@{PROJECT}.iam.gserviceaccount.com",
                "token_uri": f"{self.url}/token",
            }
        )

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The bodies of all sends."""
        return [json.loads(each.body) for each in self.requests if each.path != "/token"]

    def _tell(self, request: Request) -> Told:
        return self._token(request) if request.path == "/token" else self._send(request)

    def _token(self, request: Request) -> Told:
        self.grants += 1
        if self.grant is not None:
            return self.grant()
        form = parse_qs(request.body.decode())
        claims = jwt.decode(form["assertion"][0], key().public_key(), algorithms=["RS256"], audience=AUDIENCE)
        assert claims["scope"] == SCOPE
        token = f"ya29.{next(self._numbers)}"
        self.issued.add(token)
        return Told(200, json.dumps({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).encode())

    def _send(self, request: Request) -> Told:
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.issued:
            return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if request.path != f"/v1/projects/{PROJECT}/messages:send":
            return error(404, "NOT_FOUND", "Requested entity was not found.")
        body = json.loads(request.body)
        if wrong := google_schema.faults(body):
            return error(400, "INVALID_ARGUMENT", f"Invalid JSON payload received: {wrong}", fields=wrong)
        if len({"token", "fid", "topic", "condition"} & set(body["message"])) != 1:
            return error(400, "INVALID_ARGUMENT", "One of token, fid", fields=["message"])
        return self.send(body)


def error(
    code: int, status: str, message: str = "", *, fcm: str = "", fields: list[str] | None = None, **headers: str
) -> Told:
    """An error as Google writes it."""
    details: list[dict[str, Any]] = []
    if fcm:
        details.append({"@type": FCM_ERROR, "errorCode": fcm})
    if fields:
        details.append(
            {"@type": BAD_REQUEST, "fieldViolations": [{"field": each, "description": ""} for each in fields]}
        )
    said = {"error": {"code": code, "message": message, "status": status, "details": details}}
    return Told(code, json.dumps(said).encode(), {"Content-Type": "application/json", **headers})
