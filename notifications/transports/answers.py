"""What a transport is given, and what it says: the one interface that Web Push, FCM, APNs and the console share.

    Carrier.send(message, address) ─▶ Answer(verdict, status, reason, …)     never raises for what the other side does

What an answer means for device, delivery and lane is data (`errors`), so that one test can walk every row.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol


class Verdict(enum.StrEnum):
    """What becomes of the delivery, the device and the lane."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    """Nothing is wrong with the device: later, by the schedule or by `retry_after`."""
    INVALIDATE = "invalidate"
    """The address is dead; the delivery has failed."""
    SUSPECT = "suspect"
    """It counts against the device, and the delivery has failed."""
    STOP = "stop"
    """Our credential or setting is wrong: the lane stops, devices and deliveries stay as they are."""
    FAULT = "fault"
    """This push itself is wrong: it fails, no device is harmed, staff are told."""
    UNCERTAIN = "uncertain"
    """Written, and no answer: retried with the same collapse id."""
    UNKNOWN = "unknown"
    """Not in the tables: an alert, treated like RETRY, and no device is harmed."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a push goes, read from a `PushDevice`."""

    app: str
    kind: str
    """One of `states.AddressKind`."""
    address: str
    environment: str = "production"
    p256dh: str = ""
    auth: str = ""
    vapid_key_thumbprint: str = ""
    registered_at: datetime | None = None
    platform: str = ""
    """The installation's: FCM reaches iOS and browsers with keys of their own, so their lanes are apart."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is pushed."""

    title: str
    body: str = ""
    url: str = ""
    data: dict[str, str] = field(default_factory=dict)
    ack_url: str = ""
    """Where the device acknowledges delivery and opening (signed)."""
    collapse_id: str = ""
    ttl: timedelta = timedelta(days=1)
    urgent: bool = False
    silent: bool = False
    """Not to be shown, where the transport can (verification)."""
    dry_run: bool = False
    """Only ask whether it would be taken, where the transport can (FCM)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said, and what it means."""

    verdict: Verdict
    status: str = ""
    """`410`, `timeout`, `reset`."""
    reason: str = ""
    """The other side's own word: `Unregistered`."""
    words: str = ""
    """For staff: one sentence, no secrets, no address."""
    retry_after: timedelta | None = None
    provider_id: str = ""
    device_reason: str = ""
    """Of an address that is dead: one of `states.Reason`."""
    lane_reason: str = ""
    """Of a lane that stops: what is wrong, in a few words."""
    lane_for: timedelta | None = None
    """How long it stops; None: until staff resume it."""
    extra: dict[str, Any] = field(default_factory=dict)
    """`environment`: the other one of Apple's, which took the push: the address belongs there."""


class Carrier(Protocol):
    """One way to reach devices. Made once a process, used by many threads."""

    def credential(self, address: Address) -> str:
        """What its lane is named by: the thumbprint of what it would send with, and where that is not one service,
        to whom (`thumbprint@host`). "" if it is not set up (then `send` answers STOP). At most 64 characters.
        """
        ...

    def send(self, message: Message, address: Address) -> Answer:
        """Push once, within 25 s. What the other side does never raises."""
        ...

    def close(self) -> None:
        """Close what this thread holds open."""
        ...
