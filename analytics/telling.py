"""What is said of a campaign's figures that cannot be refreshed, and can again: lines of the log.

Staff are told by the alert rule (`alarms`), which reads what `watch` counts.
"""

from __future__ import annotations

from datetime import datetime

from queues.engine import log

logger = log.get(__name__)


def failing(*, scope: str, name: str, failed: list[str], failures: int, now: datetime) -> None:
    """Called once when the third refresh in a row failed, in that transaction; `failed`: the panels' names."""
    logger.error("analytics.refresh_failing", scope=scope, panels=failed, failures=failures)


def recovered(*, scope: str, name: str, now: datetime) -> None:
    """Called once when all panels were refreshed again after `failing`, in that transaction."""
    logger.info("analytics.refresh_recovered", scope=scope)
