"""Where Stripe posts its events: `POST /webhooks/stripe/`. What it answers decides whether Stripe sends again.

    200  stored, or seen before             413  larger than WEBHOOK_MAX_BYTES
    400  not authentic, or not an event     415  not JSON
    405  not POST                           503  not stored, or no secret is set: send it again

The signature is checked over the raw bytes before anything else is done with them. Nothing runs here: handlers run in
the workers.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from queues.engine import log
from queues.webhooks import counting, inbox, parsing, verification

logger = log.get(__name__)

RETRY_AFTER_SECONDS = 60


class _Refused(Exception):
    """`outcome` is counted, `words` are answered."""

    def __init__(self, status: int, outcome: str, words: str, *, skew_seconds: int = 0) -> None:
        super().__init__(words)
        self.status = status
        self.outcome = outcome
        self.words = words
        self.skew_seconds = skew_seconds


@csrf_exempt
def stripe(request: HttpRequest) -> HttpResponse:
    """Store one event."""
    if request.method != "POST":
        return _answer(405, "Only POST.", Allow="POST")
    now = timezone.now()
    try:
        secrets = [secret for secret in settings.STRIPE_WEBHOOK_SECRETS if secret.strip()]
        if not secrets:
            raise _Refused(503, "no secret", "No signing secret is set here.")
        body = _body(request)
        signed = _signed(request, body, secrets, now)
        parsed = _parsed(body)
        arrival = inbox.Arrival(signed_at=signed.at, signed_with=signed.label)
        made = inbox.receive(parsed=parsed, body=body, arrival=arrival)
    except _Refused as refused:
        logger.warning("webhook.refused", provider=inbox.PROVIDER, status=refused.status, reason=refused.outcome)
        return _refuse(refused, now)
    except inbox.NotStored as error:
        logger.error("webhook.not_stored", provider=inbox.PROVIDER, words=str(error)[:200])
        return _answer(503, "Could not store the event.", **{"Retry-After": str(RETRY_AFTER_SECONDS)})
    if made is None:
        counting.count(provider=inbox.PROVIDER, outcome="repeated", now=now)
    return JsonResponse({"received": parsed.id, "repeated": made is None})


def _body(request: HttpRequest) -> bytes:
    """The raw bytes, and never more of them than the limit."""
    if request.content_type != "application/json":
        raise _Refused(415, "not json", "The content type must be application/json.")
    limit = settings.WEBHOOK_MAX_BYTES
    length = request.META.get("CONTENT_LENGTH") or "0"
    if len(length) > 15 or (length.isascii() and length.isdigit() and int(length) > limit):
        raise _Refused(413, "too large", f"The body must not be larger than {limit} bytes.")
    body = b""
    try:
        while len(body) <= limit and (part := request.read(limit + 1 - len(body))):
            body += part
    except (UnreadablePostError, OSError):
        raise _Refused(400, "unreadable", "The body did not arrive.") from None
    if len(body) > limit:
        raise _Refused(413, "too large", f"The body must not be larger than {limit} bytes.")
    return body


def _signed(request: HttpRequest, body: bytes, secrets: list[str], now: datetime) -> verification.Signed:
    header = request.META.get("HTTP_STRIPE_SIGNATURE", "")
    try:
        return verification.verify(body=body, header=header, secrets=secrets, now=now)
    except verification.NotAuthentic as error:
        raise _Refused(400, error.reason, f"Not authentic: {error.reason}.", skew_seconds=error.skew_seconds) from None


def _parsed(body: bytes) -> parsing.Parsed:
    try:
        return parsing.parse(body)
    except parsing.NotAnEvent as error:
        raise _Refused(400, "not an event", f"Not an event: {error}.") from None


def _refuse(refused: _Refused, now: datetime) -> HttpResponse:
    counting.count(provider=inbox.PROVIDER, outcome=refused.outcome, now=now, skew_seconds=refused.skew_seconds)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if refused.status == 503 else {}
    return _answer(refused.status, refused.words, **headers)


def _answer(status: int, words: str, **headers: str) -> HttpResponse:
    return JsonResponse({"error": words}, status=status, headers=headers)
