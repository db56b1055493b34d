"""Every promise of Redrive as data: what counts, what is good, what is left out, and where the rows come from.

A share is of what was due in a minute: work that nobody did burns budget too. `timedelta`s here are the promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Q

from analytics.levels import Queries
from notifications.levels import Confirmed
from notifications.models import PushDelivery
from notifications.sending import figures
from payments.levels import PAID_EVENTS, Sessions
from queues.desk.redriven import Redriven
from queues.email.models import EmailMessage
from queues.engine import registry
from queues.engine.states import Status
from queues.monitor.items import Delivered, Due, Items, Runs
from queues.monitor.objective import Objective
from queues.webhooks.models import WebhookEvent

CANCELLED = (
    "Mails that were cancelled in that time: suppressed recipients, and what staff discarded. What expired is bad."
)
PAUSED = " What staff had paused is shown by itself."
NOT_HANDLED = "Events nobody handles, and what staff discarded."

EMAIL = [
    Objective(
        key="email.accepted",
        name="E-mail accepted within 5 minutes",
        capability="E-mail",
        target=0.98,
        counts="Every mail, in the minute it was due (when it was enqueued, or its send_at).",
        good="The provider accepted it within 5 minutes of its due time.",
        excluded=CANCELLED + PAUSED,
        source=Items(model=EmailMessage, queue="email", within=timedelta(minutes=5)),
    ),
    Objective(
        key="email.delivered",
        name="E-mail delivered",
        capability="E-mail",
        counts="Accepted mails whose provider reported what became of them, in the minute they were due.",
        good="Reported as delivered, and not as bounced.",
        excluded="Mails without a report: not every provider reports.",
        beside="email.accepted",
        source=Delivered(model=EmailMessage, queue="email", within=timedelta(minutes=10)),
    ),
    Objective(
        key="email.quick",
        name="E-mail sent within 30 seconds",
        capability="E-mail",
        target=0.90,
        counts="Every mail, in the minute it was due.",
        good="From due to accepted in less than 30 seconds: nine in ten (p90).",
        excluded=CANCELLED + PAUSED,
        aim=timedelta(seconds=30),
        source=Items(model=EmailMessage, queue="email", within=timedelta(seconds=30)),
    ),
]

PAYMENTS = [
    Objective(
        key="checkout.created",
        name="Checkout sessions created",
        capability="Checkout",
        target=0.99,
        counts="Every order that asked Stripe for a page to pay on, in the minute it was made.",
        good="The page was there within 30 seconds.",
        excluded="What was refused before Stripe was asked: rate limits, unknown products.",
        source=Sessions(within=timedelta(seconds=30)),
    ),
    Objective(
        key="checkout.fast",
        name="Checkout within 2 seconds",
        capability="Checkout",
        target=0.90,
        counts="Every order that asked Stripe for a page to pay on.",
        good="The page was there in 2 seconds: nine in ten (p90).",
        excluded="What was refused before Stripe was asked: rate limits, unknown products.",
        aim=timedelta(seconds=2),
        source=Sessions(within=timedelta(seconds=2)),
    ),
    Objective(
        key="payments.processed",
        name="Paid events processed",
        capability="Payments",
        target=0.99,
        counts="Stripe events that say an order was paid, in the minute they were received.",
        good="Processed within 5 minutes.",
        excluded=NOT_HANDLED + PAUSED,
        source=Items(model=WebhookEvent, queue="webhook", within=timedelta(minutes=5), where=Q(kind__in=PAID_EVENTS)),
    ),
]

WEBHOOKS = [
    Objective(
        key="webhook.handled",
        name="Webhooks handled within 60 seconds",
        capability="Webhooks",
        target=0.99,
        counts="Every event, in the minute it was received.",
        good="Handled within 60 seconds of receipt.",
        excluded=NOT_HANDLED + PAUSED,
        source=Items(model=WebhookEvent, queue="webhook", within=timedelta(seconds=60)),
    ),
]

ANALYTICS = [
    Objective(
        key="analytics.succeeded",
        name="Analytics queries succeed",
        capability="Analytics",
        target=0.99,
        counts="Every query of a panel, also where the reader saw a saved copy.",
        good="It answered within its 5 second budget.",
        source=Queries(of="succeeded"),
    ),
    Objective(
        key="analytics.fast",
        name="Analytics queries within 3 seconds",
        capability="Analytics",
        target=0.90,
        counts="Every query that was asked, whether it succeeded or not.",
        good="It took 3 seconds at most: nine in ten (p90).",
        excluded="Queries that were not asked, because the database was known to be away.",
        aim=timedelta(seconds=3),
        coarse=True,
        source=Queries(of="fast"),
    ),
    Objective(
        key="analytics.fresh",
        name="Analytics figures fresh",
        capability="Analytics",
        target=0.95,
        counts="Every panel that was shown to a reader.",
        good="Its figures were younger than 5 minutes.",
        source=Queries(of="fresh"),
    ),
]

PUSH = [
    Objective(
        key="push.accepted",
        name="Push accepted",
        capability="Push notifications",
        target=0.95,
        counts="Every push of a notification, in the minute it was due.",
        good="The push service accepted it within 60 seconds.",
        excluded="Addresses that turned out to be dead, users who want none, what staff discarded in that time."
        + PAUSED,
        source=Items(
            model=PushDelivery,
            queue="push",
            within=timedelta(seconds=60),
            done="accepted_at",
            where=Q(purpose=PushDelivery.Purpose.NOTIFY),
            excused=Q(status=Status.DEAD_LETTER, failed_reason__startswith=figures.DEAD_ADDRESS),
        ),
    ),
    Objective(
        key="push.confirmed",
        name="Push confirmed by the device",
        capability="Push notifications",
        counts="Accepted pushes; counted an hour later.",
        good="The device said within an hour that it had it, or it was opened.",
        excluded="Pushes that were not accepted.",
        beside="push.accepted",
        public=False,
        source=Confirmed(within=timedelta(hours=1)),
    ),
]

STAFF = [
    Objective(
        key="redrive.succeeded",
        name="Redrives succeed",
        capability="Repair",
        target=0.90,
        counts="Every item that staff redrove, in the minute they did.",
        good="Done within an hour.",
        excluded="Items that turned out to need nothing.",
        public=False,
        source=Redriven(),
    ),
]

OBJECTIVES = [*EMAIL, *PAYMENTS, *WEBHOOKS, *ANALYTICS, *PUSH, *STAFF]


def everything() -> Iterator[Objective]:
    """The promises, and for each queue its throughput and what retries are good for."""
    yield from OBJECTIVES
    for queue in registry.all_queues():
        yield Objective(
            key=f"{queue.name}.due",
            name=f"What came due in {queue.name}",
            capability=queue.name,
            counts="Every item, in the minute it was due first.",
            good="Each.",
            public=False,
            source=Due(model=queue.model, queue=queue.name),
        )
        yield Objective(
            key=f"{queue.name}.runs",
            name=f"Runs of {queue.name}",
            capability=queue.name,
            counts="Every run of a handler, in the minute it began.",
            good="It did its work.",
            excluded="Snoozes: rate limits, pauses, open breakers.",
            public=False,
            source=Runs(queue=queue.name),
        )
        yield Objective(
            key=f"{queue.name}.retries",
            name=f"Retries of {queue.name} that succeed",
            capability=queue.name,
            counts="Items that had failed and then ended, in the minute of their last run.",
            good="They ended done.",
            excluded="What is still being tried.",
            public=False,
            source=Runs(queue=queue.name, retries=True),
        )
