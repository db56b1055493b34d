"""What a provider's API said through Anymail, as the engine's outcome:

did not reach it                    TransportDown
reached it, no answer or a garbled  Uncertain
401 402 403 404 429 5xx             TransportDown (key, quota, domain, rate, out of order: every mail would meet it)
408 409 425                         Transient
504                                 Uncertain: the gateway gave up waiting, what is behind it may have gone on
other 4xx, unsupported, malformed   Permanent
all recipients refused              Refused; hard where the provider calls the address invalid
"""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from anymail import exceptions as anymail
from requests import exceptions as http

from queues.email.classify import Refused, TransportDown
from queues.engine import outcomes

RETRY_AFTER_MAX = timedelta(hours=24)
AFTER_500 = timedelta(seconds=60)
"""A 500 may be this very mail's doing; uncharged, it must not come back every second."""
WORDS_MAX = 500

TRANSPORT_STATUS = frozenset({401, 402, 403, 404, 407, 429})
TRANSIENT_STATUS = frozenset({408, 409, 425})

SPECIAL = {
    # https://resend.com/docs/api-reference/errors: a sender domain that is not verified
    ("resend", 403, "validation_error"): "permanent",
    # https://resend.com/docs/dashboard/emails/idempotency-keys: our key with other content
    ("resend", 409, "invalid_idempotent_request"): "permanent",
    # https://github.com/SparkPost/developers.sparkpost.com/pull/590: the same of SparkPost
    ("sparkpost", 409, "1600"): "permanent",
    # https://developers.brevo.com/docs/heterogenous-versions-batch-emails: our key was used within 30 minutes; whether
    # that request went out or was refused, it does not say
    ("brevo", 400, "duplicate_parameter"): "uncertain",
}
"""(provider, status, its own code) that mean something else than the status does for everyone."""

BOTO_TRANSPORT = re.compile(
    r"Throttl|TooManyRequests|LimitExceeded|AccountSuspended|SendingPaused|AccessDenied|UnrecognizedClient|InvalidClientToken"
    r"|SignatureDoesNotMatch|ExpiredToken|ServiceUnavailable|InternalFailure|InternalServiceError"
)
"""Amazon SES error codes that every mail would meet: https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html"""


def outcome(error: Exception, *, provider: str) -> outcomes.Outcome:
    """Judge what sending through an Anymail backend raised."""
    if isinstance(error, anymail.AnymailRecipientsRefused):
        return _refused(error, provider)
    if isinstance(error, anymail.AnymailConfigurationError):
        return TransportDown(f"{provider}: {error}", code=f"{provider} configuration")
    if isinstance(error, anymail.AnymailAPIError):
        if isinstance(getattr(error, "response", None), requests.Response):
            return _answered(error.response, provider)
        if isinstance(error.__cause__, requests.RequestException):
            return _unanswered(error.__cause__, provider)
        return _boto(error, provider)
    # AnymailInvalidAddress, AnymailUnsupportedFeature, AnymailSerializationError; Django's own on a malformed header
    return outcomes.Permanent(f"{provider}: {error}", code=f"{provider} unsupported")


def _refused(error: Any, provider: str) -> outcomes.Outcome:
    status = getattr(error.email_message, "anymail_status", None)
    recipients = getattr(status, "recipients", {}) or {}
    said = ", ".join(f"{address}: {each.status}" for address, each in recipients.items())
    hard = [address for address, each in recipients.items() if each.status == "invalid"]
    return Refused(f"{provider} refused {said or 'all recipients'}", code=f"{provider} refused", hard=hard)


def _answered(response: requests.Response, provider: str) -> outcomes.Outcome:
    status = response.status_code
    words = f"{provider} {status}: {response.text[:WORDS_MAX]}"
    code = f"{provider} {status}"
    match SPECIAL.get((provider, status, _own_code(response))):
        case "permanent":
            return outcomes.Permanent(words, code=code)
        case "uncertain":
            return outcomes.Uncertain(words, code=code)
    if status < 400:
        return outcomes.Uncertain(f"garbled answer: {words}", code=f"{provider} garbled")
    if status == 504:
        return outcomes.Uncertain(words, code=code)
    if status in TRANSPORT_STATUS or status >= 500:
        wait = _retry_after(response)
        if wait is None and status == 500:
            wait = AFTER_500
        return TransportDown(words, code=code, retry_after=wait)
    if status in TRANSIENT_STATUS:
        return outcomes.Transient(words, code=code, retry_after=_retry_after(response))
    return outcomes.Permanent(words, code=code)


def _own_code(response: requests.Response) -> str:
    """The provider's own code in a JSON answer: `name` (Resend), `code` (Brevo), `errors[0].code` (SparkPost)."""
    try:
        said = response.json()
    except ValueError:
        return ""
    if isinstance(said, dict) and isinstance(said.get("errors"), list) and said["errors"]:
        said = said["errors"][0]
    if not isinstance(said, dict):
        return ""
    return str(said.get("name") or said.get("code") or "")


def _unanswered(cause: requests.RequestException, provider: str) -> outcomes.Outcome:
    # ConnectionError covers both "could not connect" and "connected, then cut off"; the text tells which
    never = isinstance(cause, http.ConnectTimeout | http.SSLError | http.ProxyError)
    if isinstance(cause, http.ConnectionError) and not never:
        reason = getattr(cause.args[0] if cause.args else None, "reason", None)
        never = type(reason).__name__ in {"NewConnectionError", "NameResolutionError", "ConnectTimeoutError"}
    if never:
        return TransportDown(f"{provider}: could not connect ({type(cause).__name__})", code=f"{provider} connect")
    if isinstance(cause, http.Timeout | http.ConnectionError | http.ChunkedEncodingError):
        return outcomes.Uncertain(f"{provider}: no answer ({type(cause).__name__})", code=f"{provider} reply lost")
    return outcomes.Permanent(f"{provider}: {type(cause).__name__}", code=f"{provider} request")


def _boto(error: Exception, provider: str) -> outcomes.Outcome:
    """Amazon SES: recognized by name, for boto3 need not be installed."""
    cause = error.__cause__
    name = type(cause).__name__
    if name == "ClientError":
        said = getattr(cause, "response", {}).get("Error", {})
        code = str(said.get("Code", ""))
        words = f"{provider} {code}: {str(said.get('Message', ''))[:WORDS_MAX]}"
        if BOTO_TRANSPORT.search(code):
            return TransportDown(words, code=f"{provider} {code}")
        return outcomes.Permanent(words, code=f"{provider} {code}")
    if name in {"ReadTimeoutError", "ConnectionClosedError", "IncompleteReadError", "ResponseStreamingError"}:
        return outcomes.Uncertain(f"{provider}: no answer ({name})", code=f"{provider} reply lost")
    if cause is not None:
        return TransportDown(f"{provider}: {name}", code=f"{provider} connect")
    return outcomes.Uncertain(f"{provider}: {str(error)[:WORDS_MAX]}", code=f"{provider} garbled")


def _retry_after(response: requests.Response) -> timedelta | None:
    """Retry-After as seconds or as a date (RFC 9110 section 10.2.3), the latter by the provider's own clock."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        if value.isdigit():
            wait = timedelta(seconds=int(value[:7]))
        elif value:
            wait = parsedate_to_datetime(value) - parsedate_to_datetime(response.headers["Date"])
        else:
            return None
    except (KeyError, TypeError, ValueError):
        return None
    return min(max(wait, timedelta()), RETRY_AFTER_MAX)
