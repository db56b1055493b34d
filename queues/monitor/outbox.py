"""Messages about alerts: written in the transaction of the alert's step, sent afterwards, tried again, never doubled.

    written ──claimed (held 2 min)──▶ sent
       ▲            └── failed ──▶ tried again after 1, 2, 5, 10, 30 min, and at once on the other channel ──▶ given up

All steps of one evaluation that say the same kind of thing are one message. A sender that dies in between leaves the
message held; whoever takes it over sends the same Message-ID, by which a mailbox knows a repetition.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import IntegrityError, router, transaction
from django.db.models import F, Q

from queues.engine import log
from queues.engine.outcomes import clean
from queues.monitor import channels, notice
from queues.monitor.alerts import Step
from queues.monitor.models import Alert, AlertDelivery, Severity

logger = log.get(__name__)

HELD = timedelta(minutes=2)
"""Longer than any channel takes for one message."""
DELAYS = (1, 2, 5, 10, 30)
"""Minutes before each further try; then it is given up, and the desk shows it."""
BUDGET_SECONDS = 45.0
"""Of one run: the task that sends is ended at 90 s."""
ORDER = (AlertDelivery.Kind.FIRING, AlertDelivery.Kind.REPEAT, AlertDelivery.Kind.RECOVERY)
Channel = AlertDelivery.Channel


def write(steps: Iterable[Step], *, now: datetime) -> int:
    """Write the messages of one evaluation's steps, one a kind, receiver and channel; returns how many."""
    written = 0
    for kind, group in groupby(sorted(steps, key=lambda step: ORDER.index(step.kind)), key=lambda step: step.kind):
        alerts = [step.alert for step in group]
        body = notice.body(kind=kind, alerts=alerts, now=now)
        written += _write(kind=kind, body=body, alerts=alerts, now=now)
    return written


def test(*, now: datetime) -> list[AlertDelivery]:
    """Write a test message for every channel that is set up, and return them."""
    body = notice.test(now=now)
    _write(kind=AlertDelivery.Kind.TEST, body=body, alerts=[], now=now)
    return list(AlertDelivery.objects.filter(kind=AlertDelivery.Kind.TEST, created_at=now).order_by("pk"))


def deliver(*, now: datetime, only: Sequence[int] | None = None) -> int:
    """Send what is due; returns how many were sent. Safe for any number of senders at once."""
    begun, sent, last = time.monotonic(), 0, 0
    due = AlertDelivery.objects.filter(_free(now), next_try_at__lte=now).order_by("pk")
    if only is not None:
        due = due.filter(pk__in=only)
    # One after the other: what fails may add a row for the other channel, which is then sent in the same run.
    while time.monotonic() - begun < BUDGET_SECONDS:
        pk = due.filter(pk__gt=last).values_list("pk", flat=True).first()
        if pk is None:
            break
        last = pk
        # Held before anything is sent: of two senders one gets it.
        if AlertDelivery.objects.filter(_free(now), pk=pk, next_try_at__lte=now).update(
            held_until=now + HELD, tries=F("tries") + 1
        ):
            sent += _send(AlertDelivery.objects.get(pk=pk), now=now)
    return sent


def failing(*, since: datetime) -> dict[str, str]:
    """The channels whose newest message that was tried could not be sent, with what the other side said."""
    found = {}
    for channel in Channel:
        tried = AlertDelivery.objects.filter(channel=channel, created_at__gt=since).exclude(last_words="")
        newest = tried.order_by("-created_at", "-pk").first()
        if newest is not None and newest.sent_at is None:
            found[channel.value] = newest.last_words
    return found


def _free(now: datetime) -> Q:
    return Q(held_until__isnull=True) | Q(held_until__lte=now)


def _write(*, kind: str, body: dict[str, Any], alerts: list[Alert], now: datetime) -> int:
    told = ",".join(str(alert.pk) for alert in alerts)
    name = hashlib.sha256(f"{kind} {told} {now.isoformat()}".encode()).hexdigest()[:32]
    receivers = _receivers(kind, alerts)
    if not receivers and kind != AlertDelivery.Kind.TEST:
        logger.warning("alert.nobody_told", kind=kind, alerts=told)
    rows = [
        AlertDelivery(
            key=f"{name}:{channel}:{number}",
            alert=alerts[0] if alerts else None,
            kind=kind,
            channel=channel,
            to=to[:500],
            subject=body["title"][:300],
            body=body,
            created_at=now,
            next_try_at=now,
        )
        for number, (channel, to) in enumerate(receivers)
    ]
    AlertDelivery.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _receivers(kind: str, alerts: list[Alert]) -> list[tuple[Channel, str]]:
    """A page goes both ways at once; a ticket by mail, or by the webhook where no mail is set up."""
    mail = [(Channel.MAIL, address) for address in settings.ALERT_EMAILS]
    web = [(Channel.WEBHOOK, channels.webhook_name())] if settings.ALERT_WEBHOOK_URL else []
    urgent = kind == AlertDelivery.Kind.TEST or any(alert.severity == Severity.PAGE for alert in alerts)
    return mail + web if urgent else mail or web


def _send(row: AlertDelivery, *, now: datetime) -> int:
    mine = AlertDelivery.objects.filter(pk=row.pk, sent_at__isnull=True)
    try:
        words = channels.send(row, now=now)
    except channels.Failed as failure:
        words = clean(str(failure))[:500]
        delay = timedelta(minutes=DELAYS[row.tries - 1]) if row.tries <= len(DELAYS) else None
        with transaction.atomic(using=router.db_for_write(AlertDelivery)):
            mine.update(
                held_until=None,
                last_words=words,
                next_try_at=now + delay if delay else None,
                given_up_at=None if delay else now,
            )
            if row.tries == 1:
                _elsewhere(row, words, now=now)
        logger.error("alert.not_sent", delivery=row.pk, channel=row.channel, tries=row.tries, words=words)
        return 0
    mine.update(sent_at=now, next_try_at=None, held_until=None, last_words=words[:500])
    return 1


def _elsewhere(row: AlertDelivery, words: str, *, now: datetime) -> None:
    """The same message on the other channel, unless that one has it anyway; with a word on why it comes this way."""
    name = row.key.split(":")[0]
    other = Channel.WEBHOOK if row.channel == Channel.MAIL else Channel.MAIL
    if row.key.endswith(":instead") or AlertDelivery.objects.filter(key__startswith=f"{name}:{other}:").exists():
        return
    receivers = list(settings.ALERT_EMAILS) if other == Channel.MAIL else [channels.webhook_name()]
    if other == Channel.WEBHOOK and not settings.ALERT_WEBHOOK_URL:
        return
    body = {**row.body, "note": f"Sent this way because {row.get_channel_display().lower()} failed: {words}"}
    for number, to in enumerate(receivers):
        try:
            with transaction.atomic(using=router.db_for_write(AlertDelivery)):
                AlertDelivery.objects.create(
                    key=f"{name}:{other}:{number}:instead",
                    alert=row.alert,
                    kind=row.kind,
                    channel=other,
                    to=to[:500],
                    subject=row.subject,
                    body=body,
                    created_at=now,
                    next_try_at=now,
                )
        except IntegrityError:  # another of this message's receivers failed too, and was first
            continue
