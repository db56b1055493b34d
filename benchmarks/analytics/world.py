"""Millions of events, made by the database itself: 90 days, skewed campaigns, mostly impressions.

On PostgreSQL by two sessions at once into a table without indexes, which are built afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from django.contrib.auth.models import User
from django.db import connection

from analytics.models import Campaign, Creative, Event

DAYS = 90
CREATIVES = 5

POSTGRES = """
INSERT INTO analytics_event (event_id, campaign_id, creative_id, kind, occurred_at, received_at, cost, revenue, country,
    device, channel, visitor, viewable, attribution, drop_reason)
SELECT gen_random_uuid(), c, (c - {first}) * {creatives} + {creative} + (n % {creatives}), k,
    t, t, CASE WHEN k = 'click' THEN 500000 ELSE 1000 END, CASE WHEN k = 'conversion' THEN 30000000 ELSE 0 END,
    (ARRAY['DE','AT','CH','FR','JP','US','GB','ES','IT',''])[1 + (n * 7 % 10)],
    (ARRAY['mobile','desktop','tablet','tv'])[1 + (n * 3 % 4)],
    (ARRAY['search','social','display','video','email'])[1 + (n * 11 % 5)],
    '', CASE WHEN k = 'impression' THEN n % 3 > 0 END,
    CASE WHEN k = 'conversion' AND n % 2 = 0 THEN 'click' ELSE '' END, ''
FROM (SELECT n, {first} + floor({campaigns} * power(random(), 2.2))::bigint AS c,
    CASE WHEN n % 100 < 94 THEN 'impression' WHEN n % 100 < 99 THEN 'click' ELSE 'conversion' END AS k,
    now() - random() * interval '{days} days' AS t FROM generate_series({start}, {end}) AS n) AS made
"""
SQLITE = """
INSERT INTO analytics_event (event_id, campaign_id, creative_id, kind, occurred_at, received_at, cost, revenue, country,
    device, channel, visitor, viewable, attribution, drop_reason)
WITH RECURSIVE s(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM s WHERE n < {end}),
    m AS MATERIALIZED (SELECT n, (abs(random()) % 1000000) / 1000000.0 AS u,
        strftime('%Y-%m-%d %H:%M:%S', 'now', '-' || (abs(random()) % ({days} * 86400)) || ' seconds') AS t FROM s)
SELECT lower(hex(randomblob(16))), {first} + CAST({campaigns} * u * u AS integer),
    CAST({campaigns} * u * u AS integer) * {creatives} + {creative} + (n % {creatives}),
    CASE WHEN n % 100 < 94 THEN 'impression' WHEN n % 100 < 99 THEN 'click' ELSE 'conversion' END, t, t,
    CASE WHEN n % 100 BETWEEN 94 AND 98 THEN 500000 ELSE 1000 END, CASE WHEN n % 100 = 99 THEN 30000000 ELSE 0 END,
    substr('DEATCHFRJPUSGBESITNL', 1 + 2 * (n * 7 % 10), 2), CASE n * 3 % 4 WHEN 0 THEN 'mobile' WHEN 1 THEN 'desktop'
    WHEN 2 THEN 'tablet' ELSE 'tv' END, CASE n * 11 % 5 WHEN 0 THEN 'search' WHEN 1 THEN 'social' WHEN 2 THEN 'display'
    WHEN 3 THEN 'video' ELSE 'email' END, '', CASE WHEN n % 100 < 94 THEN n % 3 > 0 END,
    CASE WHEN n % 200 = 99 THEN 'click' ELSE '' END, '' FROM m
"""
CHUNK = 500_000


def make(*, events: int, campaigns: int) -> float:
    """Fill empty tables; returns seconds of the events alone."""
    owner, _new = User.objects.get_or_create(username="bench")
    today = datetime.now(UTC).date()
    starts: date = today - timedelta(days=DAYS)
    rows = Campaign.objects.bulk_create(
        [Campaign(name=f"Campaign {n}", owner=owner, starts_on=starts, budget=10**12) for n in range(campaigns)]
    )
    creatives = Creative.objects.bulk_create(
        [Creative(campaign=row, key=f"c{n}", name=f"Creative {n}") for row in rows for n in range(CREATIVES)]
    )
    known = {"first": rows[0].pk, "creative": creatives[0].pk, "creatives": CREATIVES, "days": DAYS}
    parts = [
        {"start": start, "end": min(start + CHUNK - 1, events), "campaigns": campaigns, **known}
        for start in range(1, events + 1, CHUNK)
    ]
    begun = time.monotonic()
    if connection.vendor == "postgresql":
        _bare(lambda: _together(parts))
    else:
        for part in parts:
            _fill(SQLITE, part)
    seconds = time.monotonic() - begun
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return seconds


def _bare(fill: Callable[[], None]) -> None:
    """Fill the table without its indexes, and make them again as they were."""
    table = Event._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table])
        indexes = {name: made for name, made in cursor.fetchall() if not name.endswith("_pkey")}
        cursor.execute("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'u'", [table])
        unique = {name for (name,) in cursor.fetchall()}
        for name in unique:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name in set(indexes) - unique:
            cursor.execute(f"DROP INDEX {name}")
        fill()
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for name, made in indexes.items():
            cursor.execute(made)
            if name in unique:
                cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")


def _together(parts: list[dict[str, int]]) -> None:
    def run(mine: list[dict[str, int]]) -> None:
        with connection.cursor() as cursor:
            # Campaigns and creatives are those made above: no need to look each up.
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("SET synchronous_commit = off")
        for part in mine:
            _fill(POSTGRES, part)
        connection.close()

    threads = [threading.Thread(target=run, args=(parts[place::2],)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _fill(sql: str, part: dict[str, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.format(**part))


def largest() -> Campaign:
    """The campaign with the most events."""
    from django.db.models import Count

    row = Event.objects.values("campaign").annotate(n=Count("id")).order_by("-n").first()
    assert row is not None
    return Campaign.objects.get(pk=row["campaign"])
