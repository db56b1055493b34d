"""`python -m benchmarks.email [SCENARIO …]` measures Redrive's e-mail queue beside its peers (benchmarks/README.md)."""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.email import postgres, process, report, sink
from benchmarks.email.contenders import Contender
from benchmarks.email.report import Result
from benchmarks.email.scenarios import SCENARIOS, Row, Scenario
from benchmarks.email.trial import Trial


def main() -> None:
    options = _arguments()
    chosen = [
        scenario for scenario in SCENARIOS if scenario.name in (options.scenario or [each.name for each in SCENARIOS])
    ]
    process.FOLDER.mkdir(parents=True, exist_ok=True)
    with (process.FOLDER / "running").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another run is under way: it would use the same databases and the same processors.")
        _run(chosen, options)


def _run(chosen: Sequence[Scenario], options: argparse.Namespace) -> None:
    rows = {scenario.name: _taking_part(scenario, options.only) for scenario in chosen}
    databases = _databases([row.contender for taking_part in rows.values() for row in taking_part])
    results: list[Result] = []
    try:
        with sink.Sink(folder=process.FOLDER) as target:
            for scenario in chosen:
                mails = max(1, int(scenario.mails * options.scale))
                rounds = options.rounds or scenario.rounds
                results += _measure(scenario, rows[scenario.name], target, mails=mails, rounds=rounds)
                print(_table(scenario, results), flush=True)
    finally:
        _keep(results, chosen)
        for database in databases:
            postgres.drop(database)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.email", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[scenario.name for scenario in SCENARIOS], help="default: all")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each scenario (default: its own number)")
    parser.add_argument("--scale", type=float, default=1, help="of the number of mails; 0.1 for a quick look")
    parser.add_argument("--only", nargs="+", metavar="MODULE", help="redrive post_office django_mailer raw")
    return parser.parse_args()


def _taking_part(scenario: Scenario, only: Sequence[str] | None) -> list[Row]:
    return [row for row in scenario.rows if only is None or row.contender.module in only]


def _databases(contenders: Sequence[Contender]) -> list[str]:
    """Make the database of every contender with its tables."""
    by_database = {contender.database: contender for contender in contenders}
    for database, contender in by_database.items():
        postgres.create(database)
        process.run(contender, "migrate")
    return list(by_database)


def _measure(scenario: Scenario, rows: Sequence[Row], target: sink.Sink, *, mails: int, rounds: int) -> list[Result]:
    """Run all rows in every round, each round in another order, so that what else the machine does falls on all."""
    results = []
    for number in range(rounds):
        for row in random.Random(number).sample(rows, len(rows)):
            trial = Trial(row.contender, target, mails=mails, number=number)
            try:
                result = Result(scenario.name, row.name, number, scenario.measure(trial, **row.options))
            except process.WorkerFailed as failure:
                print(f"{scenario.name}, {row.name}: {failure}", file=sys.stderr)
                continue
            results.append(result)
            print(f"  {scenario.name} {number + 1}/{rounds}  {row.name}: {_brief(result)}", file=sys.stderr, flush=True)
    order = [row.name for row in rows]
    return sorted(results, key=lambda result: order.index(result.row))


def _brief(result: Result) -> str:
    return ", ".join(f"{name} {figure:.4g}" for name, figure in result.measured.items() if figure is not None)


def _table(scenario: Scenario, results: Sequence[Result]) -> str:
    own = [result for result in results if result.scenario == scenario.name]
    return report.table(scenario.title, own, baseline=scenario.baseline)


def _keep(results: Sequence[Result], chosen: Sequence[Scenario]) -> None:
    """Write the figures and the tables below var/bench."""
    if not results:
        return
    path = process.FOLDER / f"email-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}"
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
