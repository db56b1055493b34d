"""Calls to Stripe, each ending within 15 s: with their idempotency key, behind one breaker, reads throttled.

Transient
├── Unavailable     5xx, no connection: an outage, counted by the breaker
│   └── Down        the breaker is open: nothing was sent, and the attempt is not charged
├── Busy            429, a lock or the same key in use: later, when Stripe says so; also our own throttle (not charged)
├── NotSetUp        no key, or Stripe does not know it (401)
└── Uncertain ── TimedOut   it was sent and its answer is missing; the same key again is safe within 24 h
Permanent ── Refused (any other 4xx) ── Declined (402), NotFound (404)

    stripe_api.call(lambda client: client.v1.refunds.create(params={...}), idempotency_key="refund:17")

One call makes one request. Never inside `apply`, or any transaction: it may last 15 s.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import stripe
from django.conf import settings
from django.utils import timezone

from queues.engine import breaker, limiter, log
from queues.engine.outcomes import Outcome, Permanent, Transient, Uncertain
from queues.engine.registry import Limit
from queues.webhooks import stripe_http

BREAKER = "stripe"
READS = Limit("stripe.read")
"""The throttle of reads that events cause: `RATE_LIMITS=stripe.read=50/1`. Stripe allows about 100 a second."""
READ_PATIENCE = timedelta(seconds=3)
"""How long a read waits for its turn before it gives the attempt back."""
PATH = re.compile(r"/v[12]/[A-Za-z0-9_./%-]{1,300}")

logger = log.get(__name__)
_forbidden: ContextVar[str] = ContextVar("forbidden", default="")


class Unavailable(Transient):
    """Stripe is out of order, or cannot be reached."""


class Down(Unavailable):
    """Stripe failed five times in a row and is left alone for a minute; nothing was sent."""


class Busy(Transient):
    """Stripe, or our own throttle, asks us to come later."""


class NotSetUp(Transient):
    """There is no API key here, or Stripe refuses it: nothing of the item's doing."""


class TimedOut(Uncertain):
    """The request was sent and no answer came in time."""


class Refused(Permanent):
    """Stripe understood and said no. `status` is HTTP's, `reason` Stripe's code, `param` what it is about."""

    def __init__(self, words: str, *, code: str, status: int = 0, reason: str = "", param: str = "") -> None:
        super().__init__(words, code=code)
        self.status = status
        self.reason = reason
        self.param = param


class Declined(Refused):
    """The card was declined (402)."""


class NotFound(Refused):
    """There is no such object (404)."""


def client() -> stripe.StripeClient:
    """The client for the settings' key and address. Raises NotSetUp. Use it inside `call`, or errors go uncounted."""
    key = settings.STRIPE_API_KEY
    if not key:
        raise NotSetUp("STRIPE_API_KEY is not set.", code="stripe key")
    return _client(key, settings.STRIPE_API_BASE.rstrip("/"))


def call[Answer](
    ask: Callable[[stripe.StripeClient], Answer], *, idempotency_key: str = "", account: str = "", context: str = ""
) -> Answer:
    """What `ask` returns, given the client. Raises the outcomes above.

    `idempotency_key` goes with the request, the same in every attempt; `account` and `context` (of v2) say in whose
    name it is made.
    """
    if why := _forbidden.get():
        raise RuntimeError(f"no call to Stripe {why}")
    made = client()
    shaken = _pass_breaker()
    sent = stripe_http.Sending(idempotency_key=idempotency_key, account=account, context=context)
    try:
        with stripe_http.sending(sent):
            answer = ask(made)
    except (stripe.StripeError, stripe_http.NotSent, stripe_http.NoAnswer) as error:
        outcome = judge(error)
        if isinstance(outcome, Unavailable | TimedOut):
            breaker.failed(name=BREAKER, words=outcome.words, now=timezone.now())
        elif shaken:
            breaker.succeeded(name=BREAKER, now=timezone.now())
        raise outcome from error
    if shaken:
        breaker.succeeded(name=BREAKER, now=timezone.now())
    return answer


def get(
    path: str, *, params: Mapping[str, Any] | None = None, account: str = "", context: str = "", version: str = ""
) -> dict[str, Any]:
    """The object or list at `path` (`/v1/charges/ch_1`) as plain JSON, in the shape of API `version` if given.

    Reads are throttled. Raises the outcomes above; a read without an answer is only Transient.
    """
    if not PATH.fullmatch(path) or ".." in path or "//" in path:
        raise Refused(f"not a path of Stripe's API: {path[:100]}", code="stripe path")
    _take_turn()
    extra = {"stripe_version": version} if version else {}
    try:
        answer = call(
            lambda made: made.raw_request("get", f"{path}?{urlencode(params)}" if params else path, **extra),
            account=account,
            context=context,
        )
    except Uncertain as error:
        raise Unavailable(error.words, code=error.code) from error
    found = json.loads(answer.body)
    if not isinstance(found, dict):
        raise Unavailable("Stripe's answer is not an object.", code="stripe garbled")
    return found


def close() -> None:
    """Close this thread's connection."""
    if settings.STRIPE_API_KEY:
        _http().close()


@contextmanager
def forbidden(why: str) -> Iterator[None]:
    """Inside the block every call raises RuntimeError: `why` ("inside apply")."""
    token = _forbidden.set(why)
    try:
        yield
    finally:
        _forbidden.reset(token)


def judge(error: Exception) -> Outcome:
    """What an exception of stripe-python or of our HTTP client means."""
    match error:
        case stripe_http.NotSent():
            return Unavailable(f"Could not reach Stripe ({error}).", code="stripe connect")
        case stripe_http.TooSlow():
            return TimedOut(f"Stripe did not answer in time ({error}).", code="stripe timeout")
        case stripe_http.NoAnswer():
            return TimedOut(f"Stripe's answer was lost ({error}).", code="stripe reply lost")
        case stripe.StripeError():
            return _answered(error)
    raise error


def _answered(error: stripe.StripeError) -> Outcome:
    status = error.http_status or 0
    reason = error.code or ""
    words = f"Stripe {status}: {error.user_message or type(error).__name__}"
    if error.request_id:
        words += f" ({error.request_id})"
    code = f"stripe {status} {reason}".strip()
    if not 400 <= status < 500:
        return Unavailable(words, code=f"stripe {status}", retry_after=_retry_after(error))
    if status == 429 or isinstance(error, stripe.RateLimitError) or status == 409 or reason == "lock_timeout":
        return Busy(words, code=f"stripe {status}", retry_after=_retry_after(error))
    if status == 401:
        return NotSetUp(words, code="stripe 401")
    kind = {402: Declined, 404: NotFound}.get(status, Refused)
    # An id that is not there is 404 in a path and 400 with this code in a parameter.
    return kind(words, code=code, status=status, reason=reason, param=str(getattr(error, "param", None) or ""))


def _retry_after(error: stripe.StripeError) -> timedelta | None:
    """Retry-After in seconds (RFC 9110 section 10.2.3); Stripe sends no dates."""
    value = {name.lower(): text for name, text in (error.headers or {}).items()}.get("retry-after", "").strip()
    return timedelta(seconds=int(value[:6])) if value.isascii() and value.isdigit() else None


def _pass_breaker() -> bool:
    """Whether a success is worth writing down. Raises Down while the breaker is open or another worker probes."""
    now = timezone.now()
    reading = breaker.read(names=[BREAKER], now=now)
    until = reading.open_until.get(BREAKER)
    if BREAKER in reading.half_open and not breaker.probing(name=BREAKER, now=now):
        until = now + timedelta(seconds=2)
    if until is not None:
        words = "Stripe failed repeatedly and is left alone for a minute."
        raise Down(words, code="stripe breaker", retry_after=until - now, charged=False)
    return BREAKER in reading.shaken


def _take_turn() -> None:
    """Wait for a read's turn; Busy, uncharged, when it does not come soon."""
    deadline = timezone.now() + READ_PATIENCE
    while not (grant := limiter.take([READS])).granted:
        now = timezone.now()
        until = grant.until or now + timedelta(seconds=1)
        if until > deadline:
            words = f"More than {limiter.allowance(READS.name)[0]} reads a second are waiting."
            raise Busy(words, code="stripe reads", retry_after=until - now, charged=False)
        time.sleep(max((until - now).total_seconds(), 0.001))


@functools.cache
def _client(key: str, base: str) -> stripe.StripeClient:
    stripe.enable_telemetry = False  # it writes an id into the home folder and sends timings
    where: Any = {"base_addresses": {"api": base}} if base else {}
    return stripe.StripeClient(key, http_client=_http(), max_network_retries=0, **where)


@functools.cache
def _http() -> stripe_http.Client:
    return stripe_http.Client()
