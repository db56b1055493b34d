"""Health: `/healthz` says that this process answers, `/readyz` that the system can work, and what it lacks if not.

Each part says `ok` or, in words that hold no secret, path or address, what is wrong with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from queues.engine import log
from queues.engine.heartbeats import Heartbeat
from queues.monitor import machine_rules

logger = log.get(__name__)

CLUSTER = "cluster:"
"""Begins the names of the workers' heartbeats, one a machine."""
HEARTBEAT_MAX_AGE = timedelta(seconds=60)
"""The supervisor renews it every few seconds and restarts its workers at 30 s."""
EVALUATED_MAX_AGE = timedelta(minutes=5)
"""Alert rules are looked at every minute."""
FREE_LEAST_BYTES = 200 * 1024 * 1024
FREE_LEAST_SHARE = 0.02
NEED_WORKERS = frozenset({"schedules", "alerts"})
"""Parts that stand still with the workers, and are left out with them."""

_migrated: set[str] = set()
"""Databases seen with all migrations: that does not change while a process lives, and the look costs 20 ms."""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Alive: touches nothing but this process."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Able to work: 200, or 503 with what is missing. `?without=workers` leaves the workers and what they do out: for
    a load balancer, since a web process stores what it is sent also while no worker runs.
    """
    without = set(request.GET.getlist("without"))
    state = check(now=timezone.now(), without=without | (NEED_WORKERS if "workers" in without else set()))
    ready = all(words == "ok" for words in state.values())
    return JsonResponse({"status": "ready" if ready else "not ready", **state}, status=200 if ready else 503)


def check(*, now: datetime, without: set[str] | frozenset[str] = frozenset()) -> dict[str, str]:
    """Each part that is looked at -> `ok`, or what is wrong with it."""
    state: dict[str, str] = {}
    for name, look in CHECKS.items():
        if name in without:
            continue
        try:
            state[name] = look(now)
        except DatabaseError as error:
            logger.warning("health.failed", part=name, error=type(error).__name__)
            state[name] = "unavailable"
            if name == "database":  # the other looks would only wait for the same time-out
                break
    return state


def _database(now: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations(now: datetime) -> str:
    alias = str(connection.settings_dict["NAME"])
    if alias not in _migrated:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            return f"{len(missing)} not applied"
        _migrated.add(alias)
    return "ok"


def _workers(now: datetime) -> str:
    seen_at = (
        Heartbeat.objects.filter(name__startswith=CLUSTER)
        .order_by("-seen_at")
        .values_list("seen_at", flat=True)
        .first()
    )
    if seen_at is None:
        return "never seen"
    age = now - seen_at
    return "ok" if age <= HEARTBEAT_MAX_AGE else f"last seen {int(age.total_seconds())} s ago"


def _schedules(now: datetime) -> str:
    late = machine_rules.overdue(now)
    if not late:
        return "ok"
    name, since = late[0]
    more = f" and {len(late) - 1} more" if len(late) > 1 else ""
    return f"{name}{more} late by {int((now - since).total_seconds())} s"


def _alerts(now: datetime) -> str:
    """Whoever watches from outside is told that nobody watches inside."""
    seen_at = Heartbeat.objects.filter(name="alerts").values_list("seen_at", flat=True).first()
    if seen_at is None or now - seen_at <= EVALUATED_MAX_AGE:
        return "ok"
    return f"last looked at {int((now - seen_at).total_seconds())} s ago"


def _disk(now: datetime) -> str:
    """Of the place where the database (SQLite) and our own files are."""
    place = Path(settings.VAR_DIR)
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    if usage.free >= max(FREE_LEAST_BYTES, FREE_LEAST_SHARE * usage.total):
        return "ok"
    return f"{usage.free // (1024 * 1024)} MB free"


CHECKS: dict[str, Callable[[datetime], str]] = {
    "database": _database,
    "migrations": _migrations,
    "disk": _disk,
    "workers": _workers,
    "schedules": _schedules,
    "alerts": _alerts,
}
