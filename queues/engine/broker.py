"""django-q2's brokers, which besides the common queue read one of their own machine: its heartbeat is asked for there.

In the common queue any machine may take a task, so there a healthy machine would answer for a wedged one.
"""

from __future__ import annotations

import socket
from time import sleep
from typing import Any

from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from redis import RedisError

from queues.engine import log

logger = log.get(__name__)

AWAY_SECONDS = 1.0


def own_queue() -> str | None:
    """Name of the queue that only this machine reads; None where another broker is configured, which has none."""
    return _own(Conf.CLUSTER_NAME) if isinstance(get_broker(), Tables | Lists) else None


class Tables(ORM):
    """Tasks in the database; the machine's own queue first, then the longest waiting.

    While the database is away it waits for it: django-q2's pusher would sleep ten seconds and die of the error.
    """

    def dequeue(self) -> list[tuple[int, str]]:
        """Lock a few tasks for `retry` seconds and return (id, payload) of each; waits for `poll` if there is none."""
        try:
            # The own queue's name begins with the common one's, so it sorts behind it.
            keys = (self.list_key, _own(self.list_key))
            free = self.get_connection().filter(key__in=keys, lock__lt=timezone.now()).order_by("-key", "pk")
            found = list(free[: Conf.BULK])
            if not found:
                sleep(Conf.POLL)
            return [
                (task.pk, task.payload)
                for task in found
                if self.get_connection().filter(pk=task.pk, lock=task.lock).update(lock=self.timeout(task))
            ]
        except (OperationalError, InterfaceError) as error:
            return _away(error)


class Lists(Redis):
    """Tasks in Redis lists; the machine's own first."""

    def dequeue(self) -> list[tuple[None, bytes]]:
        """Wait up to a second for a task and return it."""
        try:
            task: Any = self.connection.blpop([f"django_q:{_own(Conf.CLUSTER_NAME)}:q", self.list_key], 1)
        except RedisError as error:
            return _away(error)
        return [(None, task[1])] if task else []


def _away(error: Exception) -> list[Any]:
    logger.warning("broker.away", words=str(error).split("\n")[0])
    close_old_connections()
    sleep(AWAY_SECONDS)
    return []


def _own(name: str) -> str:
    return f"{name}/{socket.gethostname()}"[:100]
