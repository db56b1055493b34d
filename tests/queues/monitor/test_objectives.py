"""Every objective against raw rows: on generated histories the rollup equals an oracle's count to the last event."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config import objectives
from queues.monitor import histogram, objective, rollup
from queues.monitor.models import SloHour, SloMinute
from tests.queues.monitor import histories
from tests.queues.monitor.histories import Known

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
LENGTH = timedelta(hours=5)
NOW = START + LENGTH + timedelta(seconds=37)
LATENT = ("email.accepted", "email.quick", "webhook.handled", "push.accepted", "checkout.fast")
VERDICTS = ("good", "bad", "excluded", "paused")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is older than the history."""
    monkeypatch.setattr(rollup, "FIRST_LOOK", LENGTH + timedelta(hours=1))


def history(seed: int, number: int = 150) -> Known:
    """Rows of every kind, and what they mean."""
    chance, known = random.Random(seed), Known()
    histories.mails(chance, known, START, LENGTH, NOW, number)
    histories.events(chance, known, START, LENGTH, NOW, number)
    histories.pushes(chance, known, START, LENGTH, NOW, number)
    histories.checkouts(chance, known, START, LENGTH, NOW, number // 4)
    histories.queries(chance, known, START, LENGTH)
    return known


def counted(model: Any, column: str) -> dict[tuple[str, datetime], Counter[str]]:
    """The stored rows in the oracle's shape."""
    return {
        (row.objective, getattr(row, column)): Counter({name: n for name in VERDICTS if (n := getattr(row, name))})
        for row in model.objects.filter(objective__in=[each.key for each in objectives.OBJECTIVES])
    }


def countable(known: Known) -> dict[tuple[str, datetime], Counter[str]]:
    """Whole minutes only; what is counted once it has settled, only then."""
    found = {}
    for (key, minute), sums in known.counts.items():
        source = objective.get(key).source
        end = objective.minute_of(NOW if source.early else NOW - source.settles)
        if minute < end:
            found[key, minute] = sums
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_every_objective_is_counted_to_the_last_event(seed: int):
    known = history(seed)
    rollup.run(now=NOW)
    expected = countable(known)
    stored = counted(SloMinute, "minute")
    assert {key for key, _ in expected} >= {each.key for each in objective.promised()} - {"redrive.succeeded"}
    assert {pair: dict(sums) for pair, sums in stored.items()} == {pair: dict(sums) for pair, sums in expected.items()}
    assert sum(sums["paused"] for sums in expected.values()) > 0, "the history has pauses in it"
    hours: dict[tuple[str, datetime], Counter[str]] = {}
    for (key, minute), sums in expected.items():
        hours.setdefault((key, objective.hour_of(minute)), Counter()).update(sums)
    assert counted(SloHour, "hour") == hours


def test_percentiles_are_off_by_two_percent_at_most():
    known = history(4, number=300)
    rollup.run(now=NOW, only=LATENT)
    looked = 0
    for key in LATENT:
        merged = histogram.merged(row.histogram for row in SloHour.objects.filter(objective=key))
        raw = sorted(known.latencies[key])
        for share in (0.5, 0.9, 0.95, 0.99):
            exact = raw[max(-(-int(len(raw) * share * 1000) // 1000) - 1, 0)]
            told = histogram.percentile(merged, share)
            assert told is not None
            assert abs(told / timedelta(milliseconds=1) - exact) <= max(0.02 * exact, 1.1), (key, share)
            looked += 1
    assert looked == 20


def test_an_outage_without_any_attempt_burns_budget_in_the_minutes_when_work_was_due():
    chance, known = random.Random(9), Known()
    lives = 30
    for place in range(lives):
        due = START + timedelta(minutes=place, seconds=chance.randrange(60))
        row = histories.columns(histories.Item(due=due), place * 3 + 1)
        known.add("webhook.handled", due, "bad")
        histories.WebhookEvent.objects.create(**row, event_id=f"evt_{place}", occurred_at=due)
    rollup.run(now=START + timedelta(minutes=lives + 1, seconds=1), only=["webhook.handled"])
    rows = SloMinute.objects.filter(objective="webhook.handled").order_by("minute")
    assert [(row.minute, row.bad) for row in rows] == sorted((minute, 1) for _, minute in known.counts)
