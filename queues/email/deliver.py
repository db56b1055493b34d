"""Deliver: one attempt at one mail. What a batch needs is loaded by `prepare`; the sending itself touches no database.

uncertain and not to be resent ─▶ dead letter
every recipient suppressed ─────▶ cancel
transports in order ── taken ───▶ ack (some recipients refused: the rest becomes a mail of its own)
   │                ── refused ─▶ retry or dead letter, by its words
   │                ── unclear ─▶ uncertain: at once again where the provider knows our key, else held
   └─ out of order ─▶ the next transport; none left: snooze until a breaker lets one be tried
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

from django.utils import timezone

from queues.email import classify, suppressions, transports, types, unsubscribe
from queues.email.mail import File, Mail
from queues.email.models import AttachmentUse, EmailMessage, Suppression
from queues.email.receipt import Receipt
from queues.engine import breaker, enqueue, item, spans, wake
from queues.engine.item import QueueItem
from queues.engine.outcomes import Cancel, Outcome, Permanent, Snooze, Uncertain
from queues.engine.registry import Done, Limit
from queues.engine.settle import UNCERTAIN_HOLD

PROBE_WAIT = timedelta(seconds=2)
"""How long the others wait while one worker probes a transport."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the mails of one claim need from the database."""

    blocks: dict[str, list[suppressions.Block]]
    files: dict[int, tuple[File, ...]]
    breakers: breaker.Reading


class _Hand(threading.local):
    """The connections one worker thread keeps open, by transport name."""

    def __init__(self) -> None:
        self.connections: dict[str, transports.Connection] = {}


class _Coordinator(threading.local):
    """What the thread that claims read of the breakers just before, in `gate`."""

    reading: breaker.Reading | None = None


_hand = _Hand()
_coordinator = _Coordinator()
_opened: dict[str, datetime] = {}
"""Breakers opened by this process since the batch was prepared, so that the rest of the batch need not find out."""
_shaken: set[str] = set()


def limits(mail: QueueItem) -> Iterable[Limit]:
    """One unit of the queue's allowance, and one of each recipient's."""
    message = cast(EmailMessage, mail)
    yield Limit("email")
    for address in message.recipients:
        yield Limit("email.recipient", address)


def gate(now: datetime) -> datetime | None:
    """Until when every transport's breaker is open."""
    ways = [way.name for way in transports.configured()]
    reading = _coordinator.reading = breaker.read(names=ways, now=now)
    return min(reading.open_until.values()) if ways and all(name in reading.open_until for name in ways) else None


def prepare(items: Sequence[QueueItem], now: datetime) -> Batch:
    """Suppressions of all recipients, files of all mails, and the breakers: one query each."""
    messages = cast(Sequence[EmailMessage], items)
    addresses = {address for message in messages for address in message.recipients}
    with_files = [message.pk for message in messages if message.attachment_count]
    files: dict[int, tuple[File, ...]] = {}
    if with_files:
        for use in AttachmentUse.objects.filter(message__in=with_files).select_related("attachment"):
            one = File(use.name, use.content_type, bytes(use.attachment.content), use.content_id)
            files[use.message_id] = (*files.get(use.message_id, ()), one)
    _opened.clear()
    reading = _coordinator.reading or breaker.read(names=[way.name for way in transports.configured()], now=now)
    return Batch(blocks=suppressions.blocked(addresses, now=now), files=files, breakers=reading)


def deliver(mail: QueueItem, batch: Batch) -> Done:
    """Send one mail. Raises the outcome when it was not taken."""
    message = cast(EmailMessage, mail)
    kind = types.get(message.kind)
    if message.uncertain_at and not kind.resend_uncertain and not _keyed_before(message):
        raise Permanent(
            "It may have arrived: the server's answer was lost and no report of it came. Redrive it to send it again.",
            code="uncertain",
        )
    if message.bodies_removed_at:
        raise Permanent("Its text was removed when its time was over: it cannot be sent again.", code="content removed")
    letter = _letter(message, kind, batch)
    waits: list[datetime] = []
    last: Outcome | None = None
    for way in transports.configured():
        until = _closed_until(way.name, batch.breakers)
        if until is not None:
            waits.append(until)
            continue
        try:
            with spans.span("send mail", kind="client", transport=way.name):
                receipt = _connection(way).send(letter, key=message.idempotency_key, tags=message.tags)
        except classify.TransportDown as down:
            last = down
            _failed(way, down)
            continue
        except Uncertain as unclear:
            hold = timedelta() if way.keyed else UNCERTAIN_HOLD
            raise _via(way, Uncertain(unclear.words, code=unclear.code, retry_after=hold)) from unclear
        except Outcome as outcome:
            _worked(way, batch.breakers)
            raise _via(way, outcome) from None
        _worked(way, batch.breakers)
        return _done(way, message, receipt)
    if last is not None and not waits:
        raise last
    words = "No way out: every transport's breaker is open after repeated failures."
    raise Snooze(words, until=min(waits), code="breaker")


def close() -> None:
    """Close this thread's connections."""
    for connection in _hand.connections.values():
        connection.close()
    _hand.connections.clear()


def on_dead(mail: QueueItem, outcome: Outcome) -> Callable[[], None] | None:
    """A dead address is suppressed in the same transaction in which its mail becomes a dead letter."""
    if not isinstance(outcome, classify.Refused) or not outcome.hard:
        return None
    return lambda: _suppress(outcome.hard, outcome.words, mail.pk)


def _letter(message: EmailMessage, kind: types.EmailType, batch: Batch) -> Mail:
    """The mail without recipients we must not send to. Raises Cancel if none is left."""
    barred = {
        address: block
        for address in message.recipients
        for block in batch.blocks.get(address, ())
        if suppressions.applies(block, kind)
    }
    if len(barred) == len(message.recipients):
        causes = ", ".join(sorted({Suppression.Cause(block.cause).label.lower() for block in barred.values()}))
        raise Cancel(f"Suppressed: {causes}.", code="suppressed")
    letter = Mail(
        message_id=message.message_id,
        date=message.created_at,
        subject=message.subject,
        from_email=message.from_email,
        to=tuple(message.to),
        cc=tuple(message.cc),
        bcc=tuple(message.bcc),
        reply_to=tuple(message.reply_to),
        text=message.text,
        html=message.html,
        headers=(*((name, value) for name, value in message.headers), *unsubscribe.headers_for(message)),
        attachments=batch.files.get(message.pk, ()),
    )
    everyone = len(message.to) + len(message.cc) + len(message.bcc)
    if barred or len(message.recipients) < everyone:
        wanted = set(message.recipients) - set(barred)
        letter = replace(letter, only=tuple(each for each in letter.recipients() if each.lower() in wanted))
    return letter


def _connection(way: transports.Transport) -> transports.Connection:
    kept = _hand.connections.get(way.name)
    if kept is None:
        kept = _hand.connections[way.name] = way.open()
    return kept


def _keyed_before(message: EmailMessage) -> bool:
    """Whether the provider that may have it deduplicates by our key, so that sending again is safe."""
    return any(way.keyed and way.name == message.provider for way in transports.configured())


def _closed_until(name: str, reading: breaker.Reading) -> datetime | None:
    """When this transport may be tried, if not now."""
    until = _opened.get(name) or reading.open_until.get(name)
    if until is None and name in reading.half_open:
        now = timezone.now()
        return None if breaker.probing(name=name, now=now) else now + PROBE_WAIT
    return until


def _failed(way: transports.Transport, down: classify.TransportDown) -> None:
    _shaken.add(way.name)
    until = breaker.failed(name=way.name, words=down.words, now=timezone.now())
    if until is not None:
        _opened[way.name] = until


def _worked(way: transports.Transport, reading: breaker.Reading) -> None:
    """Close a breaker that had failures; on the happy path this writes nothing."""
    if way.name in _shaken or way.name in reading.shaken:
        _shaken.discard(way.name)
        breaker.succeeded(name=way.name, now=timezone.now())


def _via[O: Outcome](way: transports.Transport, outcome: O) -> O:
    outcome.via = way.name  # the history shows which transport said it
    return outcome


def _done(way: transports.Transport, message: EmailMessage, receipt: Receipt) -> Done:
    return Done(
        words=receipt.words,
        via=way.name,
        fields={
            "provider": way.name,
            "provider_id": receipt.provider_id[:255],
            "refused": {address: f"{code} {words}" for address, (code, words) in receipt.refused.items()} or None,
        },
        effect=(lambda: _after_partial_refusal(message, receipt)) if receipt.refused else None,
    )


def _after_partial_refusal(message: EmailMessage, receipt: Receipt) -> None:
    """Dead addresses are suppressed; those refused for now get a mail of their own, on the schedule's first delay."""
    _suppress(classify.hard_bounced(receipt.refused), receipt.words, message.pk)
    rest = [address.lower() for address in classify.to_retry(receipt.refused)]
    if not rest:
        return
    copied = [
        "kind",
        "priority",
        "expires_at",
        "max_retries",
        "from_email",
        "to",
        "cc",
        "bcc",
        "reply_to",
        "subject",
        "text",
        "html",
        "headers",
        "attachment_count",
        "template",
        "context",
        "metadata",
        "tags",
        "message_id",
    ]
    row = {name: getattr(message, name) for name in copied}
    now = timezone.now()
    row |= {
        "idempotency_key": f"{message.idempotency_key[:220]}:rest:{message.runs}"
        if not message.idempotency_key.startswith("auto:")
        else item.fresh_key(),
        "content_hash": "",
        "created_at": message.created_at,
        "first_due_at": message.first_due_at,
        "due_at": now + timedelta(seconds=1),
        "recipients": rest,
        "recipient": rest[0],
    }
    (entry,) = enqueue.insert("email", EmailMessage, [row])
    if not entry.repeated and message.attachment_count:
        uses = list(AttachmentUse.objects.filter(message=message))
        for use in uses:
            use.pk, use.message_id = None, entry.item_id
        AttachmentUse.objects.bulk_create(uses)
    wake.soon("email")


def _suppress(addresses: Iterable[str], words: str, message_id: int) -> None:
    for address in addresses:
        suppressions.suppress(
            address=address.lower(),
            cause=Suppression.Cause.HARD_BOUNCE,
            scope="all",
            words=words,
            message_id=message_id,
        )
