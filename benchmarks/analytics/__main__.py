"""`python -m benchmarks.analytics --events 1000000` (benchmarks/analytics/README.md)."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path


def main() -> None:
    options = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="bench-analytics-"))
    secrets = dict.fromkeys(("SECRET_KEY", "LEDGER_KEY"), "benchmark-benchmark-benchmark-benchmark-benchmark")
    database = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432")
    name = f"bench_analytics_{os.getpid()}"
    url = f"{database}/{name}" if options.database == "postgres" else f"sqlite:///{folder / 'bench.sqlite3'}"
    os.environ |= secrets | {"VAR_DIR": str(folder), "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    os.environ["ALLOWED_HOSTS"] = "testserver"
    if options.database == "postgres":
        _postgres(database, f'CREATE DATABASE "{name}"')
    try:
        _run(options)
    finally:
        if options.database == "postgres":
            from django.db import connections

            connections.close_all()
            _postgres(database, f'DROP DATABASE "{name}"')


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analytics", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--campaigns", type=int, default=200)
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--rounds", type=int, default=30)
    return parser.parse_args()


def _postgres(url: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute(statement)


def _run(options: argparse.Namespace) -> None:
    import django

    django.setup()
    import logging

    from django.core.management import call_command

    logging.disable(logging.CRITICAL)
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    from benchmarks.analytics import world

    def say(what: str, words: str) -> None:
        print(f"{what:<62}{words}", flush=True)

    load = os.getloadavg()[0]
    say("machine", f"load {load:.1f}, {os.cpu_count()} processors, {options.database}")
    seconds = world.make(events=options.events, campaigns=options.campaigns)
    say("events made", f"{options.events:,} in {seconds:.0f} s")
    _rebuild(say)
    largest = world.largest()
    _reading(say, largest, options.rounds)
    _writing(say, largest, options.rounds)
    say("machine at the end", f"load {os.getloadavg()[0]:.1f}")


def _rebuild(say: Callable[[str, str], None]) -> None:
    from django.utils import timezone

    from analytics import recount
    from analytics.models import RollupDimDay, RollupHour

    begun = time.monotonic()
    checked = recount.run(now=timezone.now(), everything=True)
    say("rollups rebuilt from raw events", f"{time.monotonic() - begun:.0f} s, {checked.repaired:,} rows")
    say("rollup rows", f"{RollupHour.objects.count():,} hours, {RollupDimDay.objects.count():,} days by dimension")


def _reading(say: Callable[[str, str], None], campaign: object, rounds: int) -> None:
    from django.contrib.auth.models import User
    from django.test import Client
    from django.utils import timezone

    from analytics import board, header, rollups
    from analytics.periods import Asked
    from benchmarks.analytics import raw

    board.PATIENCE = board.COLD_PATIENCE = timedelta(seconds=30)
    known, asked = header.of(campaign), Asked(90)  # type: ignore[arg-type]
    client = Client()
    client.force_login(User.objects.get(username="bench"))
    path = f"/analytics/campaigns/{known.id}/?days=90"
    client.get(path)
    processor = time.process_time()
    times = [_milliseconds(lambda: client.get(path)) for _ in range(rounds)]
    processor = (time.process_time() - processor) * 1000 / rounds
    say("page of 90 days from snapshots", f"{_spread(times)}, {processor:.1f} ms of our processor")

    def anew() -> None:
        rollups.refresh(now=timezone.now())
        client.get(path)

    say("page after a refresh, all from rollups", _spread([_milliseconds(anew) for _ in range(rounds)]))
    times = []
    for _ in range(rounds):
        built = board.build(header=known, asked=asked, chosen={}, now=timezone.now(), force=True)
        assert all(shown.source == "rollup" for shown in built.panels)
    from analytics import guard

    period = asked.period(zone=known.zone, now=timezone.now())
    from analytics.panels.page import PANELS

    for _ in range(rounds):
        for name in PANELS:
            ask = board._ask(board.View(known.id, name, asked.query), known, period)
            answer = guard.ask([ask])[ask.key]
            assert isinstance(answer, guard.Result), answer
            times.append(answer.milliseconds)
    say("one panel's query from rollups, guarded", _spread(times))
    floor = [_milliseconds(lambda: raw.page(known.id, period)) for _ in range(2)]
    say("the same figures from raw events (floor)", _spread(floor))
    say("rollups are faster by", f"{min(floor) / (statistics.median(times) * len(PANELS)):,.0f} x")


def _writing(say: Callable[[str, str], None], campaign: object, rounds: int) -> None:
    from django.contrib.auth.models import User
    from django.utils import timezone

    from analytics import intake, rollups

    owner = User.objects.get(username="bench")

    def batch(number: int) -> list[dict[str, object]]:
        at = timezone.now() - timedelta(minutes=number % 300)
        common = {"campaign": campaign.pk, "kind": "impression", "occurred_at": at.isoformat(), "creative": "c1"}  # type: ignore[attr-defined]
        fields = {"country": "DE", "device": "mobile", "channel": "search", "cost_micros": 1000, "viewable": True}
        return [{"event_id": str(uuid.uuid4()), **common, **fields, "visitor": f"v{n}"} for n in range(500)]

    rollups.refresh(now=timezone.now())
    batches = [batch(number) for number in range(rounds)]
    begun, processor = time.monotonic(), time.process_time()
    for each in batches:
        intake.record(events=each, user=owner, now=timezone.now())
    seconds, processor = time.monotonic() - begun, time.process_time() - processor
    each_event = f"{processor * 1_000_000 / (rounds * 500):.0f} µs of our processor each"
    say("intake, batches of 500", f"{rounds * 500 / seconds:,.0f} events/s, {each_event}")
    begun = time.monotonic()
    for each in batches:
        intake.record(events=each, user=owner, now=timezone.now())
    say("the same again (all duplicates)", f"{rounds * 500 / (time.monotonic() - begun):,.0f} events/s")
    rollups.refresh(now=timezone.now())
    times = []
    for number in range(5):
        for _ in range(8):
            intake.record(events=batch(number * 40), user=owner, now=timezone.now())
        times.append(_milliseconds(lambda: rollups.refresh(now=timezone.now())))
    say("refresh of 4,000 events of one campaign", _spread(times))
    for words, minutes in (("5 % late up to 3 days", _mostly_now), ("spread over 3 days", lambda place: place % 4300)):
        times = [_refresh_of_all(batch, owner, minutes) for _ in range(5)]
        say(f"refresh of 4,000 of 200 campaigns, {words}"[:60], _spread(times))


def _mostly_now(place: int) -> int:
    """Minutes ago."""
    return place * 7 % 4300 if place % 20 == 0 else place % 5


def _refresh_of_all(
    batch: Callable[[int], list[dict[str, object]]], owner: object, minutes: Callable[[int], int]
) -> float:
    from django.utils import timezone

    from analytics import intake, rollups
    from analytics.models import Campaign

    many = list(Campaign.objects.order_by("pk").values_list("pk", flat=True))
    for part in range(8):
        events = batch(0)
        for place, event in enumerate(events, start=part * 500):
            event["campaign"] = many[place % len(many)]
            event["occurred_at"] = (timezone.now() - timedelta(minutes=minutes(place))).isoformat()
        intake.record(events=events, user=owner, now=timezone.now())  # type: ignore[arg-type]
    return _milliseconds(lambda: rollups.refresh(now=timezone.now()))


def _milliseconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000


def _spread(times: list[float]) -> str:
    ordered = sorted(times)
    p90 = ordered[min(int(len(ordered) * 0.9), len(ordered) - 1)]
    return f"p50 {statistics.median(ordered):,.1f} ms, p90 {p90:,.1f} ms (n={len(ordered)})"


if __name__ == "__main__":
    sys.exit(main())
