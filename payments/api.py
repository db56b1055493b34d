"""`/api/v1/checkout/`: begin a checkout. The client says what and how many; everything else is ours to know."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from django.contrib.auth.models import User
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from payments import catalogue, checkout
from payments.models import Order
from queues.desk.api import problems
from queues.desk.api.email_forms import ProblemAnswer
from queues.desk.api.fields import Strict, Whole, Word
from queues.desk.api.owned import KEY
from queues.desk.api.problems import Problem
from queues.engine import limiter, log, remaining
from queues.engine.outcomes import Outcome
from queues.webhooks import stripe_api

CODES = {
    "checkout_over": (409, "The order of this key has ended"),
    "stripe_refused": (502, "Stripe refused the checkout"),
    "stripe_unavailable": (503, "Stripe cannot be asked at the moment"),
    "stripe_timeout": (504, "Stripe did not answer in time"),
}
problems.CODES.update(CODES)

SAFE = "The card has not been charged. Trying again is safe: with the same Idempotency-Key nothing is made twice."
RETRY_SECONDS = 5
NETWORK_BITS = 64
"""Of an IPv6 address: what one customer gets at least (RFC 6177), and so all of it counts as one."""

logger = log.get(__name__)

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Same key, same order and session, for ever; a double click makes one. 1 to 200 printable ASCII "
    "characters. Keys of different users do not meet.",
)

RATE_HEADERS = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[201, 429], description=words)
    for name, words in (
        ("RateLimit-Limit", "Of the nearer of the two limits: how many in its window"),
        ("RateLimit-Remaining", "How many of them are left"),
        ("RateLimit-Reset", "Seconds until there are more"),
        ("RateLimit-Policy", "Both limits: `10;w=3600, 20;w=3600`"),
    )
]


class ItemForm(Strict):
    """One product."""

    sku = Word(max_length=64, allow_blank=False, help_text="Of the catalogue")
    quantity = Whole(min_value=1, max_value=1000, help_text="How many")


class CheckoutForm(Strict):
    """What is to be bought. Prices and addresses are the server's."""

    items = serializers.ListField(child=ItemForm(), min_length=1, max_length=catalogue.LINES_MAX)

    def wished(self) -> list[catalogue.Item]:
        """The validated items."""
        return [catalogue.Item(**each) for each in self.validated_data["items"]]


class CheckoutAnswer(serializers.Serializer[Order]):
    """The order and Stripe's page to pay it on."""

    order = serializers.CharField(source="reference")
    status = serializers.CharField(help_text="`pending` until it is paid")
    session_id = serializers.CharField()
    url = serializers.CharField(source="session_url", help_text="Send the customer there")
    amount = serializers.IntegerField(help_text="In the currency's smallest unit")
    currency = serializers.CharField()
    expires_at = serializers.DateTimeField()


class TooMany(Problem):
    """429 with the headers that say which limit, and when again."""

    def __init__(self, grant: limiter.Grant, *, now: datetime) -> None:
        limit, seconds = limiter.allowance(grant.limit)
        wait = max(math.ceil(((grant.until or now) - now).total_seconds()), 1)
        whose = "account" if grant.limit == "checkout.user" else "address"
        super().__init__("throttled", f"At most {limit} checkouts in {seconds // 60} minutes for one {whose}.")
        self.headers = {"Retry-After": str(wait), **rate_headers(limit=limit, left=0, reset=wait)}


class Unavailable(Problem):
    """503 or 504, with when to try again."""

    def __init__(self, code: str, detail: str, *, wait: float = RETRY_SECONDS) -> None:
        super().__init__(code, detail)
        self.headers = {"Retry-After": str(max(math.ceil(wait), 1))}


class Checkout(APIView):
    """Checkouts of the caller's own account."""

    needs = {"POST": ("payments.checkout_order",)}

    @extend_schema(
        operation_id="checkout_begin",
        summary="Begin a checkout",
        description="Makes an order at the catalogue's prices and a Stripe Checkout session for it.",
        parameters=[KEY_HEADER, *RATE_HEADERS],
        request=CheckoutForm,
        responses={
            201: CheckoutAnswer,
            **{
                (status, "application/problem+json"): OpenApiResponse(ProblemAnswer)
                for status in (400, 401, 403, 409, 413, 415, 422, 429, 502, 503, 504)
            },
        },
    )
    def post(self, request: Request) -> Response:
        """An order and its session."""
        form = CheckoutForm(data=request.data)
        form.is_valid(raise_exception=True)
        user, address = cast(User, request.user), network(request.META.get("REMOTE_ADDR", ""))
        try:
            begun = checkout.begin(
                user=user, items=form.wished(), key=_key(request), address=address, now=timezone.now()
            )
        except (checkout.TooMany, catalogue.Refused, checkout.KeyConflict, checkout.Over, Outcome) as error:
            raise said(error) from error
        left = remaining.of(checkout.limits_of(user=user, address=address), now=timezone.now())
        answer = Response(CheckoutAnswer(begun.order).data, status=201, headers=_left_headers(left))
        if begun.repeated:
            answer["Idempotent-Replayed"] = "true"
        return answer

    def handle_exception(self, exc: Exception) -> Response:
        """With the headers of our own errors."""
        response = super().handle_exception(exc)
        for name, value in getattr(exc, "headers", {}).items():
            response[name] = value
        return response


def rate_headers(*, limit: int, left: int, reset: int) -> dict[str, str]:
    """Of the limit that is nearest; the policy names all (draft-ietf-httpapi-ratelimit-headers-06, section 3)."""
    policies = [limiter.allowance(name) for name in ("checkout.user", "checkout.address")]
    return {
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": str(left),
        "RateLimit-Reset": str(reset),
        "RateLimit-Policy": ", ".join(f"{units};w={seconds}" for units, seconds in policies),
    }


def _left_headers(left: Sequence[remaining.Remaining]) -> dict[str, str]:
    nearest = min(left, key=lambda each: each.units)
    return rate_headers(limit=nearest.limit, left=nearest.units, reset=nearest.reset_seconds)


def network(address: str) -> str:
    """What an address counts as: itself, or of IPv6 its network; all that are not known count as one."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known, NETWORK_BITS), strict=False))
    return str(known)


def said(error: Exception) -> Exception:
    """The answer to what went wrong."""
    match error:
        case checkout.TooMany():
            return TooMany(error.grant, now=timezone.now())
        case catalogue.Refused():
            return Problem("invalid", "See errors.", errors=error.errors)
        case checkout.KeyConflict():
            return Problem("idempotency_key_reused", "It stands for another order; take a new key.")
        case checkout.Over():
            return Problem("checkout_over", "Nobody was charged. Take a new key for a new order.")
        case stripe_api.TimedOut():
            return Unavailable("stripe_timeout", f"No answer within 15 seconds. {SAFE}")
        case stripe_api.Refused():
            logger.error("checkout.refused", code=error.code)
            return Problem("stripe_refused", "Nobody was charged. It was logged; trying again will not help.")
        case Outcome():
            advised = getattr(error, "retry_after", None)
            wait = advised.total_seconds() if advised else RETRY_SECONDS
            return Unavailable("stripe_unavailable", SAFE, wait=wait)
    return error


def _key(request: Request) -> str | None:
    given = request.headers.get("Idempotency-Key")
    if given is not None and not KEY.fullmatch(given):
        words = "1 to 200 printable ASCII characters without spaces, not beginning with ~."
        raise Problem("idempotency_key_invalid", words)
    return given
