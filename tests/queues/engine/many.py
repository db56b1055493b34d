"""Many rows at once, made by the database itself."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from tests.queues.engine.conftest import T0
from tests.samplequeue.models import Job


def fill(
    count: int,
    *,
    model: type = Job,
    status: str = "succeeded",
    due: str = "0",
    start_at: datetime = T0,
    priority: int = 2,
    lane: str = "NULL",
    analyze: bool = True,
) -> None:
    """Many rows at once; `due` is SQL for seconds after `start_at`, of the row's number `n`."""
    table = model._meta.db_table
    start = model.objects.count()
    if connection.vendor == "sqlite":
        numbers = f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s"
        moment = f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', %s, ({due}) || ' seconds')"
    else:
        numbers = f"SELECT n FROM generate_series(1, {count}) AS s(n)"
        moment = f"%s::timestamptz + ({due}) * interval '1 second'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (idempotency_key, status, priority, due_at, lane)"
            f" SELECT 'many-' || ({start} + n), '{status}', {priority}, {moment}, {lane} FROM ({numbers}) numbers",
            [connection.ops.adapt_datetimefield_value(start_at)],
        )
        if analyze:
            cursor.execute("ANALYZE")
