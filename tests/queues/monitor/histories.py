"""Generated histories of every kind of row the objectives count, and an oracle that knows what they mean by itself."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from analytics.models import QueryStat
from notifications.models import PushDelivery
from payments.models import StripeRequest
from queues.email.models import EmailMessage, TrackingEvent
from queues.engine.attempts import Attempt
from queues.engine.states import Status
from queues.monitor.models import PauseSpan
from queues.webhooks.models import WebhookEvent

MS = timedelta(milliseconds=1)


@dataclass(slots=True)
class Known:
    """What the oracle says: (objective, minute) → {verdict: count}, and every latency of good and bad ones."""

    counts: dict[tuple[str, datetime], Counter[str]] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)

    def add(self, key: str, due: datetime, verdict: str, took: timedelta | None = None, number: int = 1) -> None:
        """Count one."""
        if not verdict:
            return
        minute = due.replace(second=0, microsecond=0)
        self.counts.setdefault((key, minute), Counter())[verdict] += number
        if took is not None and verdict in ("good", "bad"):
            self.latencies.setdefault(key, []).append(took / MS)


@dataclass(slots=True)
class Item:
    """One made item, in plain values."""

    due: datetime
    done: datetime | None = None
    first_done: datetime | None = None
    """Before a replay."""
    dead: datetime | None = None
    cancelled: datetime | None = None
    code: str = ""
    kind: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def item(chance: random.Random, start: datetime, length: timedelta, now: datetime) -> Item:
    """A life: done soon, done late, replayed, dead, cancelled soon or late, expired, or still waiting."""
    made = Item(due=start + chance.randrange(length // MS) * MS, kind=chance.choice(("a", "b")))
    after = made.due + int(1000 * chance.choice((0, 0.2, 3, 29, 30, 31, 60, 61, 240, 300, 301, 900, 5000))) * MS
    if after > now:
        return made
    match chance.randrange(10):
        case 0:
            made.dead, made.code = after, "smtp 550"
        case 1:
            made.cancelled, made.code = after, chance.choice(("suppressed", "expired", "discarded"))
        case 2:
            made.first_done, made.done = after, after + timedelta(hours=2)
        case 3:
            pass
        case _:
            made.done = after
    return made


def verdict(each: Item, within: timedelta, now: datetime, pauses: list[PauseSpan]) -> tuple[str, timedelta | None]:
    """The promise in plain words of Python."""
    done = each.first_done or each.done
    took = done - each.due if done else None
    if took is not None and took <= within:
        return "good", took
    if each.cancelled and each.code != "expired" and each.cancelled - each.due <= within:
        return "excluded", None
    for pause in pauses:
        ends = pause.ends_at or now
        inside = pause.began_at < each.due + within and each.due < ends
        if not each.dead and inside and pause.kind in ("", each.kind):
            return "paused", took
    if took is not None or each.dead or each.cancelled or each.due + within < now:
        return "bad", took
    return "", None


def columns(each: Item, number: int) -> dict[str, Any]:
    """The item as a row's columns."""
    scheduled = number % 3 == 0
    state = Status.PENDING
    for status, at in (
        (Status.SUCCEEDED, each.done),
        (Status.DEAD_LETTER, each.dead),
        (Status.CANCELLED, each.cancelled),
    ):
        state = status if at else state
    again = each.first_done is not None
    return {
        "status": state,
        "kind": each.kind,
        "idempotency_key": f"history:{number}",
        "created_at": each.due - timedelta(hours=3) if scheduled else each.due,
        "first_due_at": each.due if scheduled else None,
        "due_at": each.due,
        "attempts": 1,
        "runs": 2 if again else 1,
        "last_code": each.code,
        "succeeded_at": each.done,
        "dead_at": each.dead,
        "cancelled_at": each.cancelled,
        **each.fields,
    }


def attempts(queue: str, pk: int, each: Item) -> list[Attempt]:
    """The runs behind it."""
    ended = [at for at in (each.first_done, each.done) if at]
    return [
        Attempt(queue=queue, item_id=pk, number=number, started_at=at - 40 * MS, duration_ms=40, outcome="ack")
        for number, at in enumerate(ended, 1)
    ]


def mails(chance: random.Random, known: Known, start: datetime, length: timedelta, now: datetime, number: int) -> None:
    """Mails, some of them reported on."""
    pauses = [
        PauseSpan.objects.create(
            queue="email", kind="a", began_at=start + 10 * length / 24, ends_at=start + 11 * length / 24
        ),
        PauseSpan.objects.create(queue="email", began_at=now - length / 40, ends_at=None),
    ]
    lives = [item(chance, start, length, now) for _ in range(number)]
    for each in lives:
        if each.done and chance.random() < 0.7:
            told = "bounced_at" if chance.random() < 0.2 else "delivered_at"
            each.fields = {told: each.done + 900 * MS}
        known.add("email.accepted", each.due, *verdict(each, timedelta(minutes=5), now, pauses))
        known.add("email.quick", each.due, *verdict(each, timedelta(seconds=30), now, pauses))
        if each.done:
            known.add(
                "email.delivered",
                each.due,
                "bad" if "bounced_at" in each.fields else "good" if each.fields else "excluded",
                900 * MS if "delivered_at" in each.fields else None,
            )
    rows = [
        EmailMessage(
            **columns(each, place),
            from_email="a@x",
            recipient="b@x",
            recipients=["b@x"],
            subject="s",
            text="t",
            message_id=f"<{place}@x>",
        )
        for place, each in enumerate(lives)
    ]
    EmailMessage.objects.bulk_create(rows, batch_size=200)
    Attempt.objects.bulk_create(
        [run for row, each in zip(rows, lives, strict=True) for run in attempts("email", row.pk, each)]
    )


def events(chance: random.Random, known: Known, start: datetime, length: timedelta, now: datetime, number: int) -> None:
    """Webhooks, some of them about money."""
    lives = [item(chance, start, length, now) for _ in range(number)]
    kinds = ("payment_intent.succeeded", "checkout.session.completed", "charge.updated")
    for each in lives:
        each.kind = chance.choice(kinds)
        known.add("webhook.handled", each.due, *verdict(each, timedelta(seconds=60), now, []))
        if each.kind != "charge.updated":
            known.add("payments.processed", each.due, *verdict(each, timedelta(minutes=5), now, []))
    rows = [
        WebhookEvent(**columns(each, place), event_id=f"evt_{place}", occurred_at=each.due)
        for place, each in enumerate(lives)
    ]
    WebhookEvent.objects.bulk_create(rows, batch_size=200)
    Attempt.objects.bulk_create(
        [run for row, each in zip(rows, lives, strict=True) for run in attempts("webhook", row.pk, each)]
    )


def pushes(chance: random.Random, known: Known, start: datetime, length: timedelta, now: datetime, number: int) -> None:
    """Pushes, accepted or not, confirmed or not."""
    lives = [item(chance, start, length, now) for _ in range(number)]
    for each in lives:
        each.first_done = None  # accepted_at stays that of the first
        each.fields = {"accepted_at": each.done}
        told, took = verdict(each, timedelta(seconds=60), now, [])
        if each.dead and chance.random() < 0.5:
            each.fields["failed_reason"], told = "dead address: gone", "excluded"
        known.add("push.accepted", each.due, told, took)
        if each.done:
            heard = chance.choice((None, each.done + 5000 * MS, each.done + timedelta(hours=2)))
            each.fields["delivered_at"] = heard
            good = heard is not None and heard - each.done <= timedelta(hours=1)
            known.add("push.confirmed", each.due, "good" if good else "bad", heard and heard - each.done)
    PushDelivery.objects.bulk_create(
        [PushDelivery(**columns(each, place), collapse_id=f"c{place}") for place, each in enumerate(lives)],
        batch_size=200,
    )


def checkouts(
    chance: random.Random, known: Known, start: datetime, length: timedelta, now: datetime, number: int
) -> None:
    """Sessions asked of Stripe."""
    for place in range(number):
        due = start + chance.randrange(length // MS) * MS
        took = chance.choice((None, 300, 1999, 2000, 2001, 29_000, 30_000, 31_000))
        answered = due + took * MS if took is not None and due + took * MS <= now else None
        life = Item(due=due, done=answered)
        known.add("checkout.created", due, *verdict(life, timedelta(seconds=30), now, []))
        known.add("checkout.fast", due, *verdict(life, timedelta(seconds=2), now, []))
        StripeRequest.objects.create(
            operation="checkout.session", subject=f"R-{place}", created_at=due, answered_at=answered
        )
    StripeRequest.objects.create(operation="refund", subject="no checkout", created_at=start + length / 2)


def queries(chance: random.Random, known: Known, start: datetime, length: timedelta) -> None:
    """Minutes of analytics queries and views."""
    rows = []
    for minute in range(0, length // timedelta(minutes=1), 7):
        at = start + timedelta(minutes=minute)
        for outcome in ("ok", "query_timeout", "seen_fresh", "seen_stale", "seen_empty"):
            number, slow = chance.randrange(1, 9), chance.randrange(3)
            rows.append(
                QueryStat(minute=at, panel="kpi", outcome=outcome, count=number + slow, le_250=number, more=slow)
            )
            if outcome.startswith("seen_"):
                verdict_ = "good" if outcome in ("seen_fresh", "seen_empty") else "bad"
                known.add("analytics.fresh", at, verdict_, number=number + slow)
            else:
                known.add("analytics.succeeded", at, "good" if outcome == "ok" else "bad", number=number + slow)
                known.add("analytics.fast", at, "good", number=number)
                known.add("analytics.fast", at, "bad", number=slow) if slow else None
    QueryStat.objects.bulk_create(rows)


def report(message: EmailMessage, *, at: datetime, kind: str = "delivered") -> None:
    """A provider's late word on a mail, as tracking stores it."""
    event = TrackingEvent.objects.create(
        message=message, provider="p", event_key=f"{message.pk}:{kind}", kind=kind, at=at
    )
    TrackingEvent.objects.filter(pk=event.pk).update(received_at=at)
    EmailMessage.objects.filter(pk=message.pk).update(**{f"{kind}_at": at})
