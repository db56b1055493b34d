"""Fixtures that every test may use: the URL of the test database, the environment of child processes, the mailer."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.db import connection
from pytest_django import Settings

from tests import chromium, flush
from tests.ledger import _ledger_can_be_emptied  # noqa: F401  (a fixture)

pytest_plugins = ["tests.browser"]

flush.install()

ROOT = Path(__file__).resolve().parent.parent


def pytest_report_header() -> str:
    """Say which database this run is on."""
    return f"database: {urlsplit(os.environ['DATABASE_URL']).scheme}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip browser tests without a browser; where both databases are tested, `once` has a process of its own."""
    browserless = chromium.path() is None and os.environ.get("REQUIRE_BROWSER") != "1"
    for item in items:
        if browserless and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))
    part = os.environ.get("TEST_ON")
    if part:
        alone = os.environ["TEST_ALONE"] == "1"
        mine = [item for item in items if bool(item.get_closest_marker("once")) == (part == "once")]
        mine = _half([item for item in mine if bool(item.get_closest_marker("alone")) == alone])
        config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
        items[:] = mine


def _half(items: list[pytest.Item]) -> list[pytest.Item]:
    """With TEST_HALF=0 every other file, beginning with the first; with TEST_HALF=1 the others."""
    if not (half := os.environ.get("TEST_HALF")):
        return items
    files = sorted({item.path for item in items})[int(half) :: 2]
    return [item for item in items if item.path in set(files)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove this run's files, and those of killed runs; the main process does it after its workers have ended."""
    if hasattr(session.config, "workerinput"):
        return
    mine = Path(os.environ["VAR_DIR"])
    for folder in mine.parent.glob("[0-9]*"):
        if folder == mine or not alive(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether a process with that id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """The URL of the database this test uses, for child processes; the test sees what they commit."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


@pytest.fixture
def child_environment(database_url: str) -> dict[str, str]:
    """The environment of a child process that works on this test's database: `[python, "manage.py", ...]` in ROOT."""
    wanted = {"DATABASE_URL": database_url, "TEST_DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **wanted, "DJANGO_SETTINGS_MODULE": "tests.settings"}


@pytest.fixture
def manage() -> list[str]:
    """The beginning of a command: `subprocess.Popen([*manage, "drain", "email"], env=child_environment, cwd=ROOT)`."""
    return [sys.executable, str(ROOT / "manage.py")]


@pytest.fixture
def queue_mailer(settings: Settings) -> Any:
    """The real mailers: outside this fixture the test runner replaces them by an in-memory one."""
    settings.MAILERS = {"default": {"BACKEND": "queues.email.backend.QueueBackend"}}
    return settings.MAILERS


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    """No test sees what another one cached."""
    cache.clear()
