"""Gathers the tables that the rooms of queues define."""

from queues.desk.bulk.operation import Operation, Portion
from queues.desk.ledger import LedgerEntry, LedgerItem
from queues.desk.tokens import ApiToken
from queues.email.models import Attachment, AttachmentUse, EmailMessage, Suppression, TrackingEvent
from queues.engine.attempts import Attempt
from queues.engine.breaker import Breaker
from queues.engine.failure_groups import FailureGroup
from queues.engine.heartbeats import Heartbeat
from queues.engine.limiter import RateCounter
from queues.engine.pauses import Pause
from queues.engine.tombstones import Tombstone
from queues.webhooks.models import HandlerRun, ReceiptCount, SweepCursor, SweepDay, WebhookEvent

__all__ = [
    "ApiToken",
    "Attachment",
    "AttachmentUse",
    "Attempt",
    "Breaker",
    "EmailMessage",
    "FailureGroup",
    "HandlerRun",
    "Heartbeat",
    "LedgerEntry",
    "LedgerItem",
    "Operation",
    "Pause",
    "Portion",
    "RateCounter",
    "ReceiptCount",
    "Suppression",
    "SweepCursor",
    "SweepDay",
    "Tombstone",
    "TrackingEvent",
    "WebhookEvent",
]
