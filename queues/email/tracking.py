"""Tracking: what providers report of a mail, stored once, whatever the order, and what follows from it.

    event ─▶ TrackingEvent (once) ─▶ the mail's delivered/bounced/complained/opened/clicked time (the earliest counts)
                                  ├▶ an uncertain mail is confirmed as sent
                                  └▶ hard bounce, complaint, unsubscription: the address is suppressed

An event may come before its mail's settlement has stored the provider's id; it waits as an orphan until `adopt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from django.db import transaction
from django.db.models import Q

from queues.email import addresses, bounces, suppressions, types
from queues.email.models import EmailMessage, Suppression, TrackingEvent
from queues.engine import log, transitions

logger = log.get(__name__)

METADATA_KEY = "redrive_id"
"""The name under which a mail's id travels in the provider's metadata, so that an event finds its mail without more."""

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
    """The provider's id of the mail, or its Message-ID."""
    item_id: int | None
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
        mails = _mails(list(reports.values()))
        rows = [
            TrackingEvent(
                message_id=mails[report.key].pk if report.key in mails else None,
                provider=provider,
                event_key=report.key,
                kind=report.kind,
                reference=report.reference,
                recipient=report.recipient,
                at=report.at,
                words=report.words,
            )
            for report in reports.values()
        ]
        TrackingEvent.objects.bulk_create(rows, ignore_conflicts=True)
        for report in reports.values():
            mail = mails.get(report.key)
            if mail is not None:
                _mark(mail, kind=report.kind, at=report.at, now=now)
            _suppress(report, mail=mail, provider=provider)
    if reports:
        logger.info("tracking.recorded", provider=provider, new=len(reports), unknown=len(reports) - len(mails))
    return len(reports)


def adopt(*, now: datetime) -> int:
    """Give events that came before their mail's provider id was stored to that mail; return how many found theirs."""
    adopted = 0
    orphans = TrackingEvent.objects.filter(message__isnull=True, received_at__gt=now - ORPHAN_AGE).exclude(reference="")
    events = list(orphans.order_by("pk")[:ADOPT_AT_ONCE])
    mails = _by_reference({event.reference for event in events})
    with transaction.atomic():
        for event in events:
            mail = mails.get(event.reference)
            if mail is None:
                continue
            adopted += TrackingEvent.objects.filter(pk=event.pk, message__isnull=True).update(message=mail)
            _mark(mail, kind=event.kind, at=event.at, now=now)
    return adopted


def _report(event: AnymailTrackingEvent, *, provider: str, now: datetime) -> Report:
    reference = _text(event.message_id, 255)
    recipient = _recipient(event.recipient)
    at = event.timestamp
    if isinstance(at, datetime):
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
    metadata = event.metadata if isinstance(event.metadata, dict) else {}
    item_id = str(metadata.get(METADATA_KEY, ""))
    said = event.mta_response or event.description or event.click_url
    return Report(
        key=_key(event, reference=reference, recipient=recipient, at=at),
        kind=_text(event.event_type, 30),
        reference=reference,
        item_id=int(item_id) if item_id.isascii() and item_id.isdigit() and len(item_id) < 19 else None,
        recipient=recipient,
        at=min(at, now) if isinstance(at, datetime) else now,
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


def _mails(reports: Sequence[Report]) -> dict[str, EmailMessage]:
    """The mail of each report, by the report's key: by our own id, the provider's id, or the Message-ID."""
    by_reference = _by_reference({report.reference for report in reports if report.item_id is None})
    by_id = EmailMessage.objects.only("id", "kind", "recipients").in_bulk(
        [report.item_id for report in reports if report.item_id is not None]
    )
    found = {}
    for report in reports:
        mail = by_reference.get(report.reference) if report.item_id is None else by_id.get(report.item_id)
        if mail is not None:
            found[report.key] = mail
    return found


def _by_reference(references: set[str]) -> dict[str, EmailMessage]:
    """Mails by what providers call them; an SMTP relay calls a mail by its Message-ID, with or without brackets."""
    names = {name: reference for reference in references if reference for name in (reference, f"<{reference}>")}
    found: dict[str, EmailMessage] = {}
    if names:
        mails = EmailMessage.objects.only("id", "kind", "recipients", "provider_id", "message_id")
        for mail in mails.filter(Q(provider_id__in=references - {""}) | Q(message_id__in=list(names))).order_by("pk"):
            for name in (mail.provider_id, mail.message_id):
                if name in names:
                    found[names[name]] = mail
    return found


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
