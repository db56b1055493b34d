"""The raw floor, no product: HMAC and one INSERT on a kept connection, without any framework."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

TABLE = "CREATE TABLE IF NOT EXISTS floor (id text PRIMARY KEY, type text, body bytea, at timestamptz DEFAULT now())"
SECRET = os.environ.get("STRIPE_WEBHOOK_SECRETS", "").encode()
_own = threading.local()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    parts = dict(part.split("=", 1) for part in environ.get("HTTP_STRIPE_SIGNATURE", "=").split(","))
    expected = hmac.new(SECRET, parts.get("t", "").encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, parts.get("v1", "")):
        start_response("400 Bad Request", [("Content-Length", "0")])
        return [b""]
    event = json.loads(body)
    _connection().execute(
        "INSERT INTO floor (id, type, body) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (event["id"], event["type"], body),
    )
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def _connection() -> psycopg.Connection:
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    made: psycopg.Connection = _own.connection
    return made
