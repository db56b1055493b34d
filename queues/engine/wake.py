"""Wake-ups: a hint to the workers that a queue has work now. A lost one costs time until the clock comes, no work."""

from __future__ import annotations

import time

import structlog
from django.db import Error as DatabaseError
from django.db import models, router, transaction

log = structlog.get_logger(__name__)

COALESCE_SECONDS = 2.0
"""One hint a queue and process in this time; a resident drain lingers longer than that, so it sees what came after."""

_hinted: dict[str, float] = {}


def soon(queue: str, *, using: str | None = None) -> None:
    """Hint after the caller's transaction has committed; a failure to hint is logged and harms nothing."""
    transaction.on_commit(lambda: _hint(queue), using=using or router.db_for_write(_task_model()), robust=True)


def _hint(queue: str) -> None:
    clock = time.monotonic()
    if clock - _hinted.get(queue, -COALESCE_SECONDS) < COALESCE_SECONDS:
        return
    _hinted[queue] = clock
    from django_q.tasks import async_task

    try:
        async_task("queues.tasks.drain", queue, task_name=f"drain {queue}", group="drain")
    except DatabaseError as error:  # gone since the commit: the clock will come, and the next hint is not held back
        _hinted.pop(queue, None)
        log.warning("wake.lost", queue=queue, words=str(error).split("\n")[0])


def _task_model() -> type[models.Model]:
    from django_q.models import OrmQ

    task: type[models.Model] = OrmQ
    return task
