"""The failure drill: staff make a panel fail for some minutes and see what customers would see.

timeout    its query really runs until the database ends it        database   as if the connection were lost
garbage    it answers with something that is no payload            bug        its code raises
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from analytics.models import Drill

KINDS = {
    "timeout": "The query takes longer than 5 seconds",
    "database": "The database does not answer",
    "garbage": "The query answers with garbage",
    "bug": "The panel's code has a bug",
}
LASTS = timedelta(minutes=10)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0"


class Lost(Exception):
    """The rehearsed loss of the database."""


class Rehearsed(Exception):
    """The rehearsed bug."""


def active() -> dict[str, str]:
    """The drills that go on: panel -> kind."""
    return dict(Drill.objects.filter(until__gt=timezone.now()).values_list("panel", "kind"))


def begin(*, panel: str, kind: str, now: datetime) -> None:
    """Let a panel fail so; it ends by itself."""
    fields = {"kind": kind, "until": now + LASTS}
    Drill.objects.update_or_create(panel=panel, defaults=fields)


def end(*, panel: str | None = None) -> int:
    """End the drill of a panel, or all."""
    rows = Drill.objects.all() if panel is None else Drill.objects.filter(panel=panel)
    return rows.delete()[0]


def rehearse(kind: str, *, using: str) -> Any:
    """Fail as it says, in place of the panel's own query."""
    match kind:
        case "timeout":
            with connections[using].cursor() as cursor:
                cursor.execute(ENDLESS)
        case "database":
            raise Lost
        case "garbage":
            return {"campaign": "<b>garbage</b>"}
    raise Rehearsed
