"""The console: writes the push to the log instead of sending it. For development."""

from __future__ import annotations

import uuid

from notifications.transports.answers import Address, Answer, Message, Verdict
from queues.engine import log

logger = log.get(__name__)


class Console:
    """Takes everything, at once."""

    def credential(self, address: Address) -> str:
        """There is nothing to set up."""
        return "console"

    def send(self, message: Message, address: Address) -> Answer:
        """Write it down. The title is not among what logs mask; what people write to each other is."""
        logger.info("push.console", collapse_id=message.collapse_id, url=message.url, length=len(message.body))
        return Answer(Verdict.ACCEPTED, status="200", provider_id=f"console-{uuid.uuid4().hex[:12]}")

    def close(self) -> None:
        """Nothing is open."""
