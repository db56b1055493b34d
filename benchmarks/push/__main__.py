"""`python -m benchmarks.push [SCENARIO …]` measures push beside its peers (benchmarks/push/README.md)."""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import pathlib
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from benchmarks.email import postgres, report
from benchmarks.email.report import Result
from benchmarks.push import venv

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "var" / "bench"
DATABASE = "bench_push"
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "SECRET_KEY": "for-benchmarks-only-0123456789-0123456789-0123456789",
    "LEDGER_KEY": "for-benchmarks-only",
    "DEBUG": "",
    "RATE_LIMITS": "push.user=1000000/3600,push.campaign=1000000/3600",  # raised, and checked all the same
    "PRIVATE_HOSTS_ALLOWED": "127.0.0.1",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """Who is measured: a function of `redrive` or of `peers`, and what it is given."""

    name: str
    module: str
    function: str
    given: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`count` is the number of messages at full size; `baseline` is the row that ratios are to."""

    name: str
    title: str
    rows: tuple[Row, ...]
    count: int
    rounds: int
    baseline: str = ""
    database: bool = False


SCENARIOS = (
    Scenario(
        "encryption",
        "Encryption and signature of one message",
        (
            Row("Redrive", "redrive", "encrypt"),
            Row("Redrive, signed each time", "redrive", "encrypt", {"cached": False}),
            Row("webpush 1.0.6", "peers", "webpush_encrypt"),
            Row("pywebpush 2.5", "peers", "pywebpush_encrypt"),
        ),
        count=0,
        rounds=5,
        baseline="pywebpush 2.5",
    ),
    Scenario(
        "sends",
        "Web Push sends of one process",
        (
            Row("Redrive", "redrive", "send"),
            Row("Redrive, 10 hands", "redrive", "send", {"threads": 10}),
            Row("pywebpush 2.5, with a session", "peers", "pywebpush_send", {"session": True}),
            Row("pywebpush 2.5, 10 threads", "peers", "pywebpush_send", {"threads": 10}),
            Row("pywebpush 2.5", "peers", "pywebpush_send"),
        ),
        count=2000,
        rounds=5,
        baseline="pywebpush 2.5",
    ),
    Scenario(
        "registrations",
        "Registrations",
        (Row("Redrive", "redrive", "register"),),
        count=10_000,
        rounds=2,
        database=True,
    ),
    Scenario(
        "drain",
        "Deliveries drained",
        (Row("Redrive, 1 worker", "redrive", "drain"),),
        count=10_000,
        rounds=2,
        database=True,
    ),
)


def main() -> None:
    options = _arguments()
    chosen = [each for each in SCENARIOS if not options.scenario or each.name in options.scenario]
    FOLDER.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    with (FOLDER / "running").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another run is under way: it would use the same processors.")
        with _sink() as url:
            for scenario in chosen:
                count = max(10, int(scenario.count * options.scale))
                results += _measure(scenario, url, count=count, rounds=options.rounds or scenario.rounds)
                print(_table(scenario, results), flush=True)
    _keep(chosen, results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[each.name for each in SCENARIOS], help="default: all")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each scenario (default: its own number)")
    parser.add_argument("--scale", type=float, default=1, help="of the number of messages; 0.1 for a quick look")
    return parser.parse_args()


@contextmanager
def _sink() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.push.sink"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.communicate()


def _measure(scenario: Scenario, url: str, *, count: int, rounds: int) -> list[Result]:
    """Run all rows in every round, each round in another order, so that what else the machine does falls on all."""
    results = []
    for number in range(rounds):
        for row in random.Random(number).sample(scenario.rows, len(scenario.rows)):
            figures = _run(scenario, row, url, count)
            results.append(Result(scenario.name, row.name, number, figures))
            said = ", ".join(f"{name} {figure:,.4g}" for name, figure in figures.items())
            print(f"  {scenario.name} {number + 1}/{rounds}  {row.name}: {said}", file=sys.stderr, flush=True)
    order = [row.name for row in scenario.rows]
    return sorted(results, key=lambda result: order.index(result.row))


def _run(scenario: Scenario, row: Row, url: str, count: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    python = str(venv.python(folder=FOLDER)) if row.module == "peers" else sys.executable
    environment = {**os.environ, **SETTINGS}
    if scenario.database:
        postgres.create(DATABASE)
        environment["DATABASE_URL"] = postgres.url(DATABASE)
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        made = subprocess.run(migrate, cwd=ROOT, env=environment, capture_output=True, text=True)
        if made.returncode:
            sys.exit(made.stderr)
    try:
        given = {"url": url, **({"count": count} if scenario.count else {}), **row.given}
        command = [python, "-m", "benchmarks.push.worker", row.module, row.function, json.dumps(given)]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        if scenario.database:
            postgres.drop(DATABASE)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _table(scenario: Scenario, results: Sequence[Result]) -> str:
    own = [each for each in results if each.scenario == scenario.name]
    return report.table(scenario.title, own, baseline=scenario.baseline)


def _keep(chosen: Sequence[Scenario], results: Sequence[Result]) -> None:
    """Write the figures and the tables below var/bench."""
    path = FOLDER / f"push-{datetime.now(tz=UTC):%Y%m%d-%H%M%S}"
    kept = {"load": os.getloadavg(), "results": [dataclasses.asdict(each) for each in results]}
    path.with_suffix(".json").write_text(json.dumps(kept, indent=1))
    path.with_suffix(".md").write_text("\n".join(_table(each, results) for each in chosen))
    print(f"Kept in {path}.json and .md", file=sys.stderr)


if __name__ == "__main__":
    main()
