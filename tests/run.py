"""`make test`: style, types, layers, migrations, then all tests on SQLite and, where one is found, PostgreSQL.

Both databases are tested in one pytest run, with two processes each and one for what needs no particular database, so
that two cores are busy. What watches real time (a supervisor, a rate) runs afterwards, in fewer processes.
REQUIRE_POSTGRES=1 and REQUIRE_BROWSER=1 turn what would be left out into a failure. What follows `python -m tests.run`
goes to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests import chromium, postgres

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent

CHECKS: tuple[tuple[str, list[str]], ...] = (
    ("format", [str(BIN / "ruff"), "format", "--check", "--output-format", "concise", "."]),
    ("lint", [str(BIN / "ruff"), "check", "--quiet", "--output-format", "concise", "."]),
    ("types", [str(BIN / "mypy"), "--no-error-summary", "."]),
    ("layers", [str(BIN / "lint-imports"), "--no-logo"]),
    ("migrations", [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"]),
    ("settings", [PYTHON, "manage.py", "check", "--fail-level", "WARNING"]),
)

PROCESSES = (
    "TEST_ON=sqlite//env:TEST_HALF=0",
    "TEST_ON=sqlite//env:TEST_HALF=1",
    "TEST_ON=postgres//env:TEST_HALF=0",
    "TEST_ON=postgres//env:TEST_HALF=1",
    "TEST_ON=once",
)
"""More than cores, since tests of servers mostly wait. The second time, for tests marked `alone`, one a database."""
CALM = ("TEST_ON=sqlite", "TEST_ON=postgres", "TEST_ON=once")
NOTHING_TO_DO = 5
"""pytest's exit status when no test was chosen."""


def main() -> int:
    """Run everything, also after a failure, and return the exit status."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}
    passed = [check(name, command, environment) for name, command in CHECKS]
    with postgres.found() as database:
        browser = chromium.path()
        say("database", f"SQLite, and PostgreSQL ({database.origin})" if database else "SQLite alone: no PostgreSQL")
        say("browser", browser or "no Chromium: browser tests are skipped")
        if os.environ.get("REQUIRE_POSTGRES") == "1" and database is None:
            say("database", "REQUIRE_POSTGRES=1, but none was found on this machine")
            passed.append(False)
        if os.environ.get("REQUIRE_BROWSER") == "1" and browser is None:
            say("browser", "REQUIRE_BROWSER=1, but no Chromium was found on this machine")
            passed.append(False)
        runs = [["-n", "2"]]
        environment.pop("TEST_DATABASE_URL", None)
        if database:
            environment["TEST_DATABASE_URL"] = database.url
            runs = [each(*PROCESSES, alone=0), each(*CALM, alone=1)]
        failures = [name for (name, _), good in zip(CHECKS, passed, strict=False) if not good]
        if failures:
            say("so far", f"failed: {', '.join(failures)}; the tests run all the same")
        for run in runs:
            tests = subprocess.run([PYTHON, "-m", "pytest", *run, *sys.argv[1:]], cwd=ROOT, env=environment)
            passed.append(tests.returncode in (0, NOTHING_TO_DO))
    return 0 if all(passed) else 1


def each(*processes: str, alone: int) -> list[str]:
    """The options by which each of these processes runs its own share of the tests."""
    specs = [f"popen//env:TEST_ALONE={alone}//env:{process}" for process in processes]
    return ["--dist", "each", *(word for spec in specs for word in ("--tx", spec))]


def check(name: str, command: list[str], environment: dict[str, str]) -> bool:
    """Run one check, print its result on one line and its words only if it fails."""
    begun = time.monotonic()
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    good = result.returncode == 0
    say(name, f"{'ok' if good else 'FAILED'} ({time.monotonic() - begun:.1f} s)")
    if not good:
        print(result.stdout + result.stderr, flush=True)
    return good


def say(name: str, words: str) -> None:
    """Print one line of the run."""
    print(f"test: {name:<11}{words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
