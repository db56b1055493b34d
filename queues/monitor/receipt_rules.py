"""Rules about what comes in: webhooks that do not verify, clocks that disagree, events that were never delivered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Max, Min, Sum
from django.utils import timezone

from queues.monitor.models import Severity
from queues.monitor.rules import Finding, Rule
from queues.webhooks.models import ReceiptCount, SweepCursor, SweepDay

FORGED_LEAST = 5
SKEW_MOST = timedelta(seconds=30)
SKEWED_LEAST = 3
UNSIGNED = ("bad signature", "no signature")
OUT_OF_TIME = ("old", "future")
SWEEP_EVERY = timedelta(hours=1)


def refused(now: datetime) -> Iterable[Finding]:
    """Deliveries that do not verify, in this hour and the one before."""
    for row in _counts(now, UNSIGNED).annotate(sum=Sum("count")).filter(sum__gte=FORGED_LEAST):
        yield Finding(
            scope=row["provider"],
            words=f"{row['sum']:,} deliveries from {row['provider']} did not verify within two hours and were refused.",
            values={"refused": row["sum"]},
            path="/admin/queues/webhookevent/",
        )


def skewed(now: datetime) -> Iterable[Finding]:
    """Authentic deliveries out of time, or the database's clock away from this machine's."""
    found = _counts(now, OUT_OF_TIME).annotate(
        sum=Sum("count"), ahead=Max("worst_skew_seconds"), late=Min("worst_skew_seconds")
    )
    for row in found.filter(sum__gte=SKEWED_LEAST):
        worst = max(row["ahead"] or 0, row["late"] or 0, key=abs)
        if abs(worst) > SKEW_MOST.total_seconds():
            yield Finding(
                scope=row["provider"],
                words=f"{row['sum']:,} authentic deliveries from {row['provider']} were refused: their time is"
                f" {worst:+,} s from ours.",
                values={"seconds": worst},
                path="/admin/queues/webhookevent/",
            )
    skew = database_skew()
    if abs(skew) > SKEW_MOST:
        yield Finding(
            scope="database",
            words=f"The database's clock is {skew.total_seconds():+,.0f} s from this machine's.",
            values={"seconds": int(skew.total_seconds())},
        )


def gaps(now: datetime) -> Iterable[Finding]:
    """The sweep had to store events that were never delivered, today or yesterday; or it has not run."""
    days = SweepDay.objects.filter(day__gte=(now - timedelta(days=1)).date(), missing__gt=0)
    for row in days.values("provider").annotate(missing=Sum("missing"), listed=Sum("listed")).order_by("provider"):
        yield Finding(
            scope=row["provider"],
            words=f"{row['missing']:,} of {row['listed']:,} events of yesterday and today were never delivered by"
            f" {row['provider']}; the sweep stored them.",
            values={"missing": row["missing"], "listed": row["listed"]},
            path="/admin/queues/webhookevent/?source=swept",
        )
    swept_at = SweepCursor.objects.aggregate(last=Min("swept_at"))["last"] if settings.STRIPE_API_KEY else None
    if swept_at is not None and now - swept_at > 3 * SWEEP_EVERY:
        yield Finding(
            scope="sweep",
            words=f"The sweep of Stripe's events last ended well at {swept_at:%Y-%m-%d %H:%M} UTC.",
            values={"seconds": int((now - swept_at).total_seconds())},
        )


def database_skew() -> timedelta:
    """The database's clock minus ours; SQLite has none of its own."""
    if connection.vendor != "postgresql":
        return timedelta(0)
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        told: datetime = cursor.fetchone()[0]
    after = timezone.now()
    return told - before - (after - before) / 2


def _counts(now: datetime, outcomes: tuple[str, ...]):  # type: ignore[no-untyped-def]  # a queryset of dictionaries
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return ReceiptCount.objects.filter(hour__gte=since, outcome__in=outcomes).values("provider").order_by("provider")


RULES = (
    Rule(
        name="webhooks_refused",
        title="Webhooks do not verify",
        severity=Severity.TICKET,
        look=refused,
        advice="If no event arrives either, the signing secret was rolled: add the new one to STRIPE_WEBHOOK_SECRETS."
        " If events do arrive, a stranger tries the address; nothing of it was stored.",
    ),
    Rule(
        name="clock_skew",
        title="Clocks disagree",
        severity=Severity.TICKET,
        look=skewed,
        advice="Check the time service of the machine (timedatectl). Beyond five minutes the provider's signatures are"
        " refused; it delivers again for three days.",
    ),
    Rule(
        name="sweep_gaps",
        title="The provider did not deliver some events",
        severity=Severity.TICKET,
        look=gaps,
        holds=timedelta(minutes=5),  # after a start of the whole the sweep comes first
        advice="Nothing is lost: the sweep stored them. Compare the times with our own outages and with the provider's"
        " list of failed deliveries; if there was no outage, the endpoint does not subscribe to these types.",
    ),
)
