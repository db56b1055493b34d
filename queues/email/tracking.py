"""Tracking: what providers report of a mail, stored once, whatever the order, and what follows from it.

    event ─▶ TrackingEvent (once) ─▶ the mail's delivered/bounced/complained/opened/clicked time (the earliest counts)
                                  ├▶ an uncertain mail is confirmed as sent
                                  └▶ hard bounce, complaint, unsubscription: the address is suppressed

An event may come before its mail's settlement has stored the provider's id; it waits as an orphan until `adopt`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from django.db import transaction
from django.db.models import Q

from queues.email import addresses, bounces, suppressions, types
from queues.email.anymail_transport import METADATA_KEY
from queues.email.mail import MESSAGE_ID
from queues.email.models import EmailMessage, Suppression, TrackingEvent
from queues.engine import log, transitions

logger = log.get(__name__)

WORDS_MAX = 2000
ADOPT_AT_ONCE = 500
ORPHAN_AGE = timedelta(hours=1)
"""How long an event without a mail is looked at again; settlements take seconds."""

COLUMNS = {
    EventType.DELIVERED: "delivered_at",
    EventType.BOUNCED: "bounced_at",
    EventType.REJECTED: "bounced_at",
    EventType.FAILED: "bounced_at",
    EventType.COMPLAINED: "complained_at",
    EventType.OPENED: "opened_at",
    EventType.CLICKED: "clicked_at",
}

TAKEN = frozenset(
    {
        EventType.QUEUED,
        EventType.SENT,
        EventType.DEFERRED,
        EventType.DELIVERED,
        EventType.BOUNCED,
        EventType.AUTORESPONDED,
        EventType.OPENED,
        EventType.CLICKED,
        EventType.COMPLAINED,
        EventType.UNSUBSCRIBED,
    }
)
"""Events that prove that the provider had taken the mail: sending an uncertain one again would be a second copy."""


@dataclass(frozen=True, slots=True)
class Report:
    """One event in our own form. `recipient` is normalized, or "" if the provider named none that is an address."""

    key: str
    kind: str
    reference: str
    """Our Message-ID, where the provider gives back the metadata it was sent; else the provider's id of the mail."""
    recipient: str
    at: datetime
    words: str
    hard: bool
    reason: str


def record(*, events: Iterable[AnymailTrackingEvent], provider: str, now: datetime) -> int:
    """Store the events and apply them to their mails, all in one transaction; return how many were new.

    `provider` is Anymail's name of it. Repeated and reordered events change nothing.
    """
    reports = {report.key: report for report in (_report(event, provider=provider, now=now) for event in events)}
    with transaction.atomic():
        known = TrackingEvent.objects.filter(provider=provider, event_key__in=list(reports))
        for key in known.values_list("event_key", flat=True):
            del reports[key]
        mails = _mails((report.reference, report.recipient) for report in reports.values())
        # in one order, so that two requests with the same events or mails wait for each other instead of both failing
        ordered = [reports[key] for key in sorted(reports)]
        rows = [
            TrackingEvent(
                message=mails.get((report.reference, report.recipient)),
                provider=provider,
                event_key=report.key,
                kind=report.kind,
                reference=report.reference,
                recipient=report.recipient,
                at=report.at,
                words=report.words,
            )
            for report in ordered
        ]
        TrackingEvent.objects.bulk_create(rows, ignore_conflicts=True)
        for report in sorted(ordered, key=lambda each: (_pk(mails, each), each.recipient)):
            mail = mails.get((report.reference, report.recipient))
            if mail is not None:
                _mark(mail, kind=report.kind, at=report.at, now=now)
            _suppress(report, mail=mail, provider=provider)
    if reports:
        logger.info("tracking.recorded", provider=provider, new=len(reports))
    return len(reports)


def adopt(*, now: datetime) -> int:
    """Give events that came before their mail's provider id was stored to that mail; return how many found theirs."""
    adopted = 0
    orphans = TrackingEvent.objects.filter(message__isnull=True, received_at__gt=now - ORPHAN_AGE).exclude(reference="")
    events = list(orphans.order_by("pk")[:ADOPT_AT_ONCE])
    mails = _mails((event.reference, event.recipient) for event in events)
    with transaction.atomic():
        for event in events:
            mail = mails.get((event.reference, event.recipient))
            if mail is None:
                continue
            adopted += TrackingEvent.objects.filter(pk=event.pk, message__isnull=True).update(message=mail)
            _mark(mail, kind=event.kind, at=event.at, now=now)
    return adopted


def _report(event: AnymailTrackingEvent, *, provider: str, now: datetime) -> Report:
    metadata = event.metadata if isinstance(event.metadata, dict) else {}
    own_id = str(metadata.get(METADATA_KEY, ""))
    reference = _text(own_id if MESSAGE_ID.fullmatch(own_id) else event.message_id, 255)
    recipient = _recipient(event.recipient)
    at = event.timestamp if isinstance(event.timestamp, datetime) else None
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    said = event.mta_response or event.description or event.click_url
    return Report(
        key=_key(event, reference=reference, recipient=recipient, at=at),
        kind=_text(event.event_type, 30),
        reference=reference,
        recipient=recipient,
        at=min(at or now, now),
        words=_text(said, WORDS_MAX),
        hard=bounces.is_hard(event, provider=provider),
        reason=_text(event.reject_reason, 30),
    )


def _key(event: AnymailTrackingEvent, *, reference: str, recipient: str, at: datetime | None) -> str:
    """The same for every copy of an event. A provider's event id may be missing, or one for several recipients."""
    if event.event_id:
        parts = [str(event.event_id), str(event.event_type), recipient]
    else:
        parts = [reference, str(event.event_type), recipient, at.isoformat() if at else "", str(event.click_url or "")]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _recipient(address: object) -> str:
    try:
        return addresses.normalize(str(address or ""))
    except ValueError:
        return ""


def _text(value: object, length: int) -> str:
    cleaned = str(value if value is not None else "").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return cleaned.encode("utf-8", "replace").decode()[:length]


def _mails(sent: Iterable[tuple[str, str]]) -> dict[tuple[str, str], EmailMessage]:
    """The mail of each (reference, recipient), by the provider's id or the Message-ID, with or without its brackets.

    A mail that some recipients refused for now goes on as a second one with the same Message-ID: of several the newest
    that has this recipient is meant.
    """
    pairs = {pair for pair in sent if pair[0]}
    names = {pair[0] for pair in pairs} | {f"<{pair[0]}>" for pair in pairs}
    called: dict[str, list[EmailMessage]] = defaultdict(list)
    if names:
        mails = EmailMessage.objects.only("id", "kind", "recipients", "provider_id", "message_id")
        wanted = mails.filter(Q(provider_id__in=names) | Q(message_id__in=names)).order_by("pk")
        for mail in cast(Iterable[EmailMessage], wanted):
            for name in {mail.provider_id, mail.message_id, mail.message_id.strip("<>")}:
                called[name].append(mail)
    return {
        pair: next((mail for mail in reversed(called[pair[0]]) if pair[1] in mail.recipients), called[pair[0]][0])
        for pair in pairs
        if called[pair[0]]
    }


def _pk(mails: Mapping[tuple[str, str], EmailMessage], report: Report) -> int:
    mail = mails.get((report.reference, report.recipient))
    return mail.pk if mail is not None else 0


def _mark(mail: EmailMessage, *, kind: str, at: datetime, now: datetime) -> None:
    """Note the event on the mail; of several the earliest counts, in whatever order they come."""
    if kind in TAKEN:
        transitions.confirm(EmailMessage, item_id=mail.pk, now=now)
    column = COLUMNS.get(kind)
    if column:
        later = Q(**{f"{column}__isnull": True}) | Q(**{f"{column}__gt": at})
        EmailMessage.objects.filter(later, pk=mail.pk).update(**{column: at})


def _suppress(report: Report, *, mail: EmailMessage | None, provider: str) -> None:
    """Suppress the recipient if the event is a reason to, for the mail that it is a reason for."""
    address = report.recipient or (mail.recipients[0] if mail is not None and len(mail.recipients) == 1 else "")
    if not address:
        return
    cause, scope = _cause(report, kind=mail.kind if mail is not None else "")
    if cause:
        suppressions.suppress(
            address=address,
            cause=cause,
            scope=scope,
            words=f"{provider}: {report.words or report.kind}",
            message_id=mail.pk if mail is not None else None,
        )


def _cause(report: Report, *, kind: str) -> tuple[str, str]:
    """Cause and scope of the suppression that follows from the event; ("", "") if none does."""
    bulk = kind if kind and types.get(kind).bulk else suppressions.BULK
    if report.hard:
        return Suppression.Cause.HARD_BOUNCE, suppressions.ALL
    if report.kind == EventType.COMPLAINED:
        return Suppression.Cause.COMPLAINT, suppressions.ALL
    if report.kind == EventType.UNSUBSCRIBED:
        return Suppression.Cause.UNSUBSCRIBE, bulk
    if report.kind == EventType.REJECTED and report.reason == RejectReason.SPAM:
        return Suppression.Cause.COMPLAINT, suppressions.ALL
    if report.kind == EventType.REJECTED and report.reason == RejectReason.UNSUBSCRIBED:
        return Suppression.Cause.UNSUBSCRIBE, bulk
    return "", ""
