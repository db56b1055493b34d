"""The fake API: a method, a path and form fields in, a status and JSON out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from config.demo.stripe.account import Account, ApiError
from config.demo.stripe.shapes import Object, shown

type Route = Callable[[Account, Mapping[str, Any], str], Object]

ROUTES: list[tuple[str, re.Pattern[str], Route]] = [
    (method, re.compile(pattern), route)
    for method, pattern, route in [
        ("POST", r"/v1/checkout/sessions", lambda account, given, _id: account.create_session(given)),
        ("POST", r"/v1/checkout/sessions/(\w+)/expire", lambda account, _given, one: account.expire(one)),
        ("POST", r"/v1/refunds", lambda account, given, _id: account.create_refund(given)),
        ("GET", r"/v1/checkout/sessions", lambda account, given, _id: account.listed("checkout.session", given, ())),
        (
            "GET",
            r"/v1/refunds",
            lambda account, given, _id: account.listed("refund", given, ("payment_intent", "charge")),
        ),
        ("GET", r"/v1/events", lambda account, given, _id: account.listed("event", given, ("type",))),
        ("GET", r"/v1/checkout/sessions/(\w+)", lambda account, _given, one: account.get(one, "checkout.session")),
        ("GET", r"/v1/payment_intents/(\w+)", lambda account, _given, one: account.get(one, "payment_intent")),
        ("GET", r"/v1/charges/(\w+)", lambda account, _given, one: account.get(one, "charge")),
        ("GET", r"/v1/refunds/(\w+)", lambda account, _given, one: account.get(one, "refund")),
        ("GET", r"/v1/disputes/(\w+)", lambda account, _given, one: account.get(one, "dispute")),
    ]
]


def answer(account: Account, *, method: str, path: str, fields: str) -> tuple[int, Object]:
    """Do what is asked; errors are answered as Stripe words them."""
    try:
        for wanted, pattern, route in ROUTES:
            if wanted == method and (match := pattern.fullmatch(path)):
                return 200, shown(route(account, nested(fields), match[1] if match.groups() else ""))
        raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")
    except ApiError as error:
        return error.status, error.body


def nested(fields: str) -> dict[str, Any]:
    """`a[b][0][c]=d` as nested dicts, the way Stripe reads forms."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(fields, keep_blank_values=True):
        head, *rest = re.findall(r"[^\[\]]+", name)
        place = found
        for step, below in zip([head, *rest], rest, strict=False):
            place = place.setdefault(step, {})
            del below
        place[rest[-1] if rest else head] = value
    return found
