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
from queues.engine.revisions import Revision
from queues.engine.tombstones import Tombstone
from queues.monitor.models import (
    Alert,
    AlertDelivery,
    Incident,
    PauseSpan,
    QueueMinute,
    Recovery,
    ScheduleState,
    Silence,
    SloHour,
    SloMinute,
    StaleMinute,
    Watermark,
)
from queues.webhooks.models import HandlerRun, ReceiptCount, SweepCursor, SweepDay, WebhookEvent

__all__ = [
    "Alert",
    "AlertDelivery",
    "ApiToken",
    "Attachment",
    "AttachmentUse",
    "Attempt",
    "Breaker",
    "EmailMessage",
    "FailureGroup",
    "HandlerRun",
    "Heartbeat",
    "Incident",
    "LedgerEntry",
    "LedgerItem",
    "Operation",
    "Pause",
    "PauseSpan",
    "Portion",
    "QueueMinute",
    "RateCounter",
    "ReceiptCount",
    "Recovery",
    "Revision",
    "ScheduleState",
    "Silence",
    "SloHour",
    "SloMinute",
    "StaleMinute",
    "Suppression",
    "SweepCursor",
    "SweepDay",
    "Tombstone",
    "TrackingEvent",
    "Watermark",
    "WebhookEvent",
]
