"""Which touch a conversion is owed to: a click of the same visitor up to 7 days before, else a view up to 1 day.

Decided when the conversion comes in, from what has come by then; a click that comes later than its conversion is found
by the nightly recount.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import connections, models

from analytics.models import Event, Kind
from queues.engine import records

CLICK_WINDOW = timedelta(days=7)
VIEW_WINDOW = timedelta(days=1)

FIELDS: dict[str, models.Field[Any, Any]] = {
    "place": models.IntegerField(),
    "campaign_id": models.BigIntegerField(),
    "visitor": models.CharField(max_length=64),
    "at": models.DateTimeField(),
    "click_from": models.DateTimeField(),
    "view_from": models.DateTimeField(),
}


def decide(rows: Sequence[dict[str, Any]], *, using: str) -> None:
    """Set `attribution` of the conversions among the rows; the others are touches like those in the database."""
    wanted = [row for row in rows if row["kind"] == Kind.CONVERSION and row["visitor"] and not row["drop_reason"]]
    if not wanted:
        return
    stored = _stored(wanted, using)
    touches: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["kind"] != Kind.CONVERSION and row["visitor"] and not row["drop_reason"]:
            touches.setdefault((row["campaign_id"], row["visitor"]), []).append(row)
    for row, (clicked, seen) in zip(wanted, stored, strict=True):
        near = touches.get((row["campaign_id"], row["visitor"]), ())
        clicked = clicked or any(_leads(each, row, Kind.CLICK, CLICK_WINDOW) for each in near)
        seen = seen or any(_leads(each, row, Kind.IMPRESSION, VIEW_WINDOW) for each in near)
        row["attribution"] = "click" if clicked else "view" if seen else ""


def _leads(touch: Mapping[str, Any], conversion: Mapping[str, Any], kind: str, window: timedelta) -> bool:
    ahead = conversion["occurred_at"] - touch["occurred_at"]
    return bool(touch["kind"] == kind and touch["viewable"] is not False and timedelta() <= ahead <= window)


def _stored(conversions: Sequence[Mapping[str, Any]], using: str) -> list[tuple[bool, bool]]:
    """(a click, a view) before each of them, from the events there are."""
    connection = connections[using]
    source = records.build(using, FIELDS)
    touch = (
        f"EXISTS (SELECT 1 FROM {Event._meta.db_table} e WHERE e.campaign_id = v.campaign_id AND e.visitor = v.visitor "  # noqa: S608
        "AND e.visitor <> '' AND e.kind = '{0}' AND e.drop_reason = '' AND e.viewable IS NOT {1} "
        "AND e.occurred_at <= v.at AND e.occurred_at >= v.{2})"
    )
    no = "FALSE" if connection.vendor == "postgresql" else "0"
    rows = [
        {
            "place": place,
            "campaign_id": row["campaign_id"],
            "visitor": row["visitor"],
            "at": row["occurred_at"],
            "click_from": row["occurred_at"] - CLICK_WINDOW,
            "view_from": row["occurred_at"] - VIEW_WINDOW,
        }
        for place, row in enumerate(conversions)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT v.place, {touch.format('click', no, 'click_from')}, {touch.format('impression', no, 'view_from')} "  # noqa: S608
            f"FROM {source.source}",
            [source.dump(rows)],
        )
        found = {place: (bool(clicked), bool(seen)) for place, clicked, seen in cursor.fetchall()}
    return [found[place] for place in range(len(rows))]
