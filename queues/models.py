"""Gathers the tables that the rooms of queues define."""

from queues.desk.ledger import LedgerEntry, LedgerItem
from queues.desk.tokens import ApiToken
from queues.email.models import Attachment, AttachmentUse, EmailMessage, Suppression, TrackingEvent
from queues.engine.attempts import Attempt
from queues.engine.breaker import Breaker
from queues.engine.heartbeats import Heartbeat
from queues.engine.limiter import RateCounter
from queues.engine.pauses import Pause
from queues.engine.tombstones import Tombstone

__all__ = [
    "ApiToken",
    "Attachment",
    "AttachmentUse",
    "Attempt",
    "Breaker",
    "EmailMessage",
    "Heartbeat",
    "LedgerEntry",
    "LedgerItem",
    "Pause",
    "RateCounter",
    "Suppression",
    "Tombstone",
    "TrackingEvent",
]
