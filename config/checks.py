"""System checks: a missing or contradictory setting is a message of `manage.py check`, not a traceback at midnight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from analytics.checks import events_stay_long_enough
from notifications.checks import push_is_whole
from queues.email import addresses
from queues.engine import registry


@register("redrive")
def settings_agree(app_configs: Sequence[AppConfig] | None = None, **_options: Any) -> list[CheckMessage]:
    """Return what is missing or contradictory among the settings."""
    return [message for check in CHECKS for message in check()]


def secrets_present() -> Iterator[CheckMessage]:
    """The keys without which nothing signed or recorded can be trusted."""
    if not settings.is_overridden("SECRET_KEY") or not settings._wrapped.SECRET_KEY:
        yield Error(
            "SECRET_KEY is not set.",
            hint="Set it to 50 random characters, the same on all machines; `manage.py up` makes one by itself.",
            id="redrive.E001",
        )
    if not settings.LEDGER_KEY:
        yield Warning(
            "LEDGER_KEY is not set: the ledger cannot be protected against changes behind its back.",
            hint="Set it to 32 random characters that the database's administrators do not know.",
            id="redrive.W002",
        )


def site_is_safe() -> Iterator[CheckMessage]:
    """Switches that must not meet each other in production."""
    if settings.DEBUG and settings.HTTPS:
        yield Error("DEBUG=1 on a public site (BASE_URL is https): error pages would show settings.", id="redrive.E003")
    if settings.DEMO and settings.HTTPS:
        yield Error(
            "DEMO=1 on a public site (BASE_URL is https): the demo pages show everybody's mail.", id="redrive.E004"
        )
    if "*" in settings.ALLOWED_HOSTS and not settings.DEMO:
        yield Warning(
            "ALLOWED_HOSTS=* lets a forged Host header into links such as the password reset's.", id="redrive.W005"
        )
    if settings.HTTPS and not settings.TRUSTED_PROXIES:
        yield Warning(
            "BASE_URL is https but TRUSTED_PROXIES is empty: the proxy's word about client and scheme is ignored.",
            hint="Name the addresses your proxy connects from, for example TRUSTED_PROXIES=127.0.0.1.",
            id="redrive.W006",
        )


def mail_leaves() -> Iterator[CheckMessage]:
    """Mail has a way out and a sender."""
    if any(url.startswith("console:") for url in settings.EMAIL_DELIVERY_URL) and not settings.DEBUG:
        yield Warning(
            "EMAIL_DELIVERY_URL is not set, or console://: mail is printed, not sent.",
            hint="For example EMAIL_DELIVERY_URL=smtp://user:password@smtp.example.com:587?tls=1",
            id="redrive.W007",
        )
    if settings.DEFAULT_FROM_EMAIL.rstrip(">").endswith("@localhost") and settings.HTTPS:
        yield Warning("DEFAULT_FROM_EMAIL is not set: servers refuse mail from @localhost.", id="redrive.W008")
    if settings.ANYMAIL_WEBHOOK_SECRET and ":" not in settings.ANYMAIL_WEBHOOK_SECRET:
        yield Error("ANYMAIL_WEBHOOK_SECRET must have the form name:password.", id="redrive.E009")


def stripe_is_whole() -> Iterator[CheckMessage]:
    """Stripe's keys come together and are told apart."""
    if not any(secret.strip() for secret in settings.STRIPE_WEBHOOK_SECRETS):
        yield Warning(
            "STRIPE_WEBHOOK_SECRETS is not set: every Stripe webhook is answered 503.",
            hint="Set it to the endpoint's signing secret (whsec_…); while one is rolled, to both, with a comma.",
            id="redrive.W010",
        )
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        if secret.startswith(("sk_", "rk_", "pk_")):
            yield Error(
                "STRIPE_WEBHOOK_SECRETS holds an API key; signing secrets begin with whsec_.", id="redrive.E011"
            )
    if settings.STRIPE_API_KEY.startswith(("whsec_", "pk_")):
        yield Error("STRIPE_API_KEY is not a secret key; it begins with sk_ or rk_.", id="redrive.E012")


def clock_is_safe() -> Iterator[CheckMessage]:
    """django-q2's numbers keep the order of DESIGN 3.2: drain (50 s), timeout, retry; and one attempt."""
    cluster = settings.Q_CLUSTER
    if not 0 < cluster.get("timeout", 0) <= cluster.get("retry", 0):
        yield Error("Q_CLUSTER: retry must not be shorter than timeout, or tasks run twice at once.", id="redrive.E014")
    if cluster.get("timeout", 0) <= 50:
        yield Warning("Q_CLUSTER: a drain takes up to 50 s; a shorter timeout kills it.", id="redrive.W016")
    if cluster.get("workers", 0) < (needed := len(registry.all_queues()) + 2):
        yield Warning(
            f"Q_CLUSTER: {needed} workers are needed, one for each queue's resident drain and two for short tasks.",
            id="redrive.W033",
        )
    if cluster.get("max_attempts") != 1:
        yield Error("Q_CLUSTER: max_attempts must be 1; retries are the queues' own.", id="redrive.E015")


def alerts_arrive() -> Iterator[CheckMessage]:
    """Somebody is told, and can be."""
    if not settings.ALERT_EMAILS and not settings.ALERT_WEBHOOK_URL and settings.HTTPS:
        yield Warning(
            "Nobody is told of alerts: neither ALERT_EMAILS nor ALERT_WEBHOOK_URL is set.",
            hint="Set one of them and try `manage.py alerts test`.",
            id="redrive.W030",
        )
    for address in settings.ALERT_EMAILS:
        try:
            addresses.normalize(address)
        except ValueError as error:
            yield Error(f"ALERT_EMAILS: {address!r} is not an address: {error}.", id="redrive.E031")
    if settings.ALERT_WEBHOOK_URL and not settings.ALERT_WEBHOOK_URL.startswith(("https://", "http://")):
        yield Error("ALERT_WEBHOOK_URL is not an http(s) address.", id="redrive.E032")


CHECKS: tuple[Callable[[], Iterator[CheckMessage]], ...] = (
    secrets_present,
    site_is_safe,
    mail_leaves,
    stripe_is_whole,
    push_is_whole,
    events_stay_long_enough,
    clock_is_safe,
    alerts_arrive,
)
