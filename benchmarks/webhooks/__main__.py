"""`python -m benchmarks.webhooks [SCENARIO …]` measures receipt and drain beside the peers (benchmarks/README.md)."""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import functools
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from benchmarks.email import report
from benchmarks.email.report import Result
from benchmarks.email.trial import Measured
from benchmarks.webhooks import cluster, contenders, draining, receipt
from benchmarks.webhooks.cluster import Cluster
from benchmarks.webhooks.contenders import ALL, DJSTRIPE, FLOOR, REDRIVE, Contender

type Row = tuple[str, Contender, Callable[..., Measured]]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`rows`: a name, who, and what is measured; `count` is the number of events at full size."""

    name: str
    title: str
    rows: tuple[Row, ...]
    count: int
    rounds: int
    baseline: str = ""


def _each(measure: Callable[..., Measured], *who: Contender) -> tuple[Row, ...]:
    return tuple((contender.name, contender, measure) for contender in who)


SCENARIOS = (
    Scenario("flood", "Receipt: 8 connections, as fast as it goes", _each(receipt.flood, *ALL), 1500, 5, DJSTRIPE.name),
    Scenario("steady", "Receipt: 10 a second", _each(receipt.steady, REDRIVE, FLOOR, DJSTRIPE), 150, 3),
    Scenario("sleeping", "… while every handler sleeps 1 s", _each(receipt.sleeping, REDRIVE, DJSTRIPE), 150, 1),
    Scenario(
        "drain",
        "Backlog with trivial handlers",
        (
            ("Redrive, 1 worker", REDRIVE, draining.drain),
            ("Redrive, 2 workers", REDRIVE, functools.partial(draining.drain, workers=2)),
        ),
        10_000,
        2,
    ),
    Scenario("wake", "From receipt to handled, idle", _each(draining.wake, REDRIVE), 40, 1),
)


def main() -> None:
    """Measure, print tables, and keep them below var/bench."""
    options = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or servers and their databases would stay
    chosen = [each for each in SCENARIOS if each.name in (options.scenario or [each.name for each in SCENARIOS])]
    contenders.FOLDER.mkdir(parents=True, exist_ok=True)
    with (contenders.FOLDER / "running").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another run is under way: it would use the same processors.")
        with cluster.started() as server:
            _run(chosen, server, options)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhooks", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[each.name for each in SCENARIOS], help="default: all")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each scenario (default: its own number)")
    parser.add_argument("--scale", type=float, default=1, help="of the number of events; 0.1 for a quick look")
    parser.add_argument("--without-peer", action="store_true", help="Redrive and the floor alone: nothing is installed")
    return parser.parse_args()


def _run(chosen: Sequence[Scenario], server: Cluster, options: argparse.Namespace) -> None:
    without = [each for each in ALL if each.python is DJSTRIPE.python] if options.without_peer else []
    for contender in {row[1].database: row[1] for each in chosen for row in each.rows}.values():
        if contender not in without:
            server.run("postgres", f"CREATE DATABASE {contender.database}")
            contender.prepare(contender, server)
    results: list[Result] = []
    try:
        for scenario in chosen:
            rows = [row for row in scenario.rows if row[1] not in without]
            count, rounds = max(int(scenario.count * options.scale), 8), options.rounds or scenario.rounds
            results += _measure(scenario, rows, server, count=count, rounds=rounds)
            print(_table(scenario, results), flush=True)
    finally:
        _keep(results, chosen)


def _measure(
    scenario: Scenario,
    rows: Sequence[Row],
    server: Cluster,
    *,
    count: int,
    rounds: int,
) -> list[Result]:
    """All rows in every round, each round in another order, so that what else the machine does falls on all."""
    results = []
    for number in range(rounds):
        for name, contender, measure in random.Random(number).sample(rows, len(rows)):
            result = Result(scenario.name, name, number, measure(contender, server, count=count))
            results.append(result)
            said = ", ".join(f"{column} {figure:.4g}" for column, figure in result.measured.items() if figure)
            print(f"  {scenario.name} {number + 1}/{rounds}  {name}: {said}", file=sys.stderr, flush=True)
    order = [name for name, _, _ in rows]
    return sorted(results, key=lambda result: order.index(result.row))


def _table(scenario: Scenario, results: Sequence[Result]) -> str:
    own = [result for result in results if result.scenario == scenario.name]
    baseline = scenario.baseline if any(result.row == scenario.baseline for result in own) else ""
    return report.table(scenario.title, own, baseline=baseline)


def _keep(results: Sequence[Result], chosen: Sequence[Scenario]) -> None:
    if not results:
        return
    path = contenders.FOLDER / f"webhooks-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}"
    figures = {
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "results": [dataclasses.asdict(result) for result in results],
    }
    path.with_suffix(".json").write_text(json.dumps(figures, indent=1))
    path.with_suffix(".md").write_text("\n".join(_table(scenario, results) for scenario in chosen))
    print(f"Kept in {path}.json and .md", file=sys.stderr)


if __name__ == "__main__":
    main()
