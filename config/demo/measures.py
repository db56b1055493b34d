"""A believable past for the pages of measures: a month by the hour, some hours by the minute, an outage nine days ago.

E-mail's last two days are counted from the demo's own mails, so that what spent their budget can be opened.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from queues.engine import registry
from queues.monitor import histogram, objective, rollup
from queues.monitor.models import Incident, QueueMinute, Recovery, SloHour, SloMinute, Watermark
from queues.monitor.objective import HOUR, MINUTE, Objective

MONTH = timedelta(days=30)
PAST = timedelta(days=90)
"""Of the public status; before the month one row stands for a day."""
CLOSE = timedelta(hours=6)
"""By the minute."""
REAL = timedelta(days=2)
"""What is counted from the demo's own mails."""
OUTAGE, OUTAGE_LASTS = timedelta(days=9, hours=3), 2
TYPICAL = {
    # objective: due in an hour, share that fails, typical milliseconds
    "email": (42, 0.004, 900),
    "webhook": (18, 0.002, 340),
    "payments": (6, 0.001, 420),
    "checkout": (7, 0.003, 650),
    "analytics": (160, 0.002, 45),
    "push": (55, 0.012, 210),
    "redrive": (0.4, 0.03, 4000),
}
KINDS = ("good", "bad", "excluded")


def load(*, now: datetime) -> int:
    """Make it once; returns how many rows."""
    if SloHour.objects.exists() or Watermark.objects.exists():
        return 0
    chance = random.Random(11)  # noqa: S311 - the same past at every first start
    hours, minutes = [], []
    for each in objective.everything():
        made = list(_past(each, chance, now))
        hours += [row for row in made if isinstance(row, SloHour)]
        minutes += [row for row in made if isinstance(row, SloMinute)]
        _mark(each, now)
    SloHour.objects.bulk_create(hours, batch_size=500)
    SloMinute.objects.bulk_create(minutes, batch_size=500)
    depths = QueueMinute.objects.bulk_create(list(_depths(chance, now)), batch_size=500)
    rollup.run(now=now, only=[each.key for each in objective.everything() if _real(each)])
    _stories(now)
    return len(hours) + len(minutes) + len(depths)


def _real(each: Objective) -> bool:
    return each.key.startswith("email.")


def _mark(each: Objective, now: datetime) -> None:
    """What is made here is final: the rollup goes on from now (with e-mail, from where its mails begin)."""
    begin = objective.hour_of(now - REAL) if _real(each) else objective.minute_of(now)
    ahead = objective.hour_of(now) + HOUR
    Watermark.objects.create(
        objective=each.key, until=begin, counted_until=begin, late_until=now, recounted_until=ahead, ran_at=now
    )


def _past(each: Objective, chance: random.Random, now: datetime) -> Iterator[SloHour | SloMinute]:
    this, end = objective.hour_of(now), objective.minute_of(now)
    close = objective.hour_of(now - CLOSE)
    at = objective.hour_of(now - MONTH)
    if each.public:
        for day in range(int((PAST - MONTH).days), 0, -1):
            yield SloHour(hour=at - timedelta(days=day), **_counted(each, chance, 24.0, at - timedelta(days=day), now))
    last = objective.hour_of(now - REAL) if _real(each) else this
    while at < min(last, close):
        yield SloHour(hour=at, **_counted(each, chance, 1.0, at, now))
        at += HOUR
    while at < min(last + HOUR, end) and not _real(each):
        until = min(at + HOUR, end)
        rows = []
        while at < until:
            sums = _counted(each, chance, 1 / 60, at, now)
            if sums["good"] or sums["bad"] or sums["excluded"]:
                rows.append(SloMinute(minute=at, **sums))
            at += MINUTE
        yield from rows
        if rows:
            yield _sum(each, objective.hour_of(rows[0].minute), rows)


def _sum(each: Objective, hour: datetime, rows: list[SloMinute]) -> SloHour:
    sums: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) for name in KINDS}
    return SloHour(objective=each.key, hour=hour, histogram=histogram.merged(row.histogram for row in rows), **sums)


def _counted(each: Objective, chance: random.Random, hours: float, at: datetime, now: datetime) -> dict[str, Any]:
    """As a day goes: quiet at night, busy in the evening."""
    name = each.key.partition(".")[0]
    rate, fails, typical = TYPICAL.get(name, (10, 0.002, 300))
    wave = 1.0 if hours > 1 else 0.55 + 0.45 * math.sin((at.hour - 9) / 24 * 2 * math.pi)
    number = _number(chance, rate * hours * max(wave, 0.1))
    out = now - OUTAGE <= at < now - OUTAGE + OUTAGE_LASTS * HOUR and name in ("email", "push")
    share = 0.6 if out else 0.35 if each.key.endswith(".retries") else fails * (0.3 if hours < 1 else 1)
    recent = at > now - REAL and not _real(each)
    bad = 0 if recent and each.target else sum(chance.random() < share for _ in range(number))
    if each.key.endswith(".due"):
        bad = 0
    excluded = _number(chance, number * 0.01)
    found: Counter[str] = Counter()
    if name != "redrive" and not each.key.endswith((".due", ".fresh", ".succeeded")):
        for _ in range(min(number - bad, 40)):
            found[str(histogram.bucket(typical * math.exp(chance.gauss(0, 0.5))))] += 1
    return {"objective": each.key, "good": number - bad, "bad": bad, "excluded": excluded, "histogram": dict(found)}


def _number(chance: random.Random, mean: float) -> int:
    """A whole number around the mean."""
    if mean > 20:
        return max(round(chance.gauss(mean, math.sqrt(mean))), 0)
    limit, product, number = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        number += 1
    return number


def _depths(chance: random.Random, now: datetime) -> Iterator[QueueMinute]:
    for queue in registry.all_queues():
        at, dead = objective.minute_of(now - MONTH), 14
        while at < objective.minute_of(now):
            out = now - OUTAGE <= at < now - OUTAGE + OUTAGE_LASTS * HOUR and queue.name in ("email", "push")
            waiting = _number(chance, 140 if out else 2.2)
            due = waiting if out else _number(chance, 0.7)
            dead = min(max(dead + chance.choice((0, 0, 0, 1, -1)), 3), 24)
            oldest = _number(chance, 1500) if out else (_number(chance, 2) if due else 0)
            yield QueueMinute(
                queue=queue.name,
                minute=at,
                due=min(due, waiting),
                waiting=waiting,
                running=0,
                dead=dead,
                oldest_seconds=oldest,
            )
            at += MINUTE if at > now - CLOSE else 10 * MINUTE


def _stories(now: datetime) -> None:
    began = now - OUTAGE
    ended = began + OUTAGE_LASTS * HOUR
    Incident.objects.create(
        capability="E-mail",
        title="E-mail was late",
        words="Our mail provider did not answer. Mails were kept and sent once it did; none was lost.",
        started_at=began,
        ended_at=ended,
        updated_at=ended,
    )
    spells = [(9.1, 118), (6.4, 34), (4.2, 7), (3.0, 36), (1.3, 11)]
    Recovery.objects.bulk_create(
        Recovery(
            queue="email",
            fingerprint=f"{place:016x}",
            code="timeout",
            failed_at=now - timedelta(days=days),
            recovered_at=now - timedelta(days=days) + timedelta(minutes=lasted),
        )
        for place, (days, lasted) in enumerate(spells)
    )
