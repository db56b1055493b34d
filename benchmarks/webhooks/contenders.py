"""Who takes part, and how each is set up and served: the same web server, the same number of processes and threads."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.webhooks import events, venv
from benchmarks.webhooks.cluster import Cluster
from benchmarks.webhooks.peers import floor

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "var" / "bench"
DJSTRIPE_PATH = "/stripe/webhook/3c6e0b8a-9c15-4f3a-8f5e-0d2b6a4c7e10/"


@dataclass(frozen=True)
class Contender:
    """`prepare` makes its tables; `application` is served by granian from `python`."""

    name: str
    database: str
    application: str
    path: str
    prepare: Callable[[Contender, Cluster], None]
    python: Callable[[], pathlib.Path] = lambda: pathlib.Path(sys.executable)
    options: dict[str, str] = field(default_factory=dict)

    def environment(self, cluster: Cluster, **more: str) -> dict[str, str]:
        """Of its processes."""
        return {
            **os.environ,
            "DATABASE_URL": cluster.url(self.database),
            "STRIPE_WEBHOOK_SECRETS": events.SECRET,
            "PYTHONPATH": str(ROOT),
            **self.options,
            **more,
        }

    def run(self, cluster: Cluster, *arguments: str) -> None:
        """A command of its own to its end."""
        line = [str(self.python()), *arguments]
        subprocess.run(line, check=True, cwd=ROOT, env=self.environment(cluster), capture_output=True)


def _redrive(contender: Contender, cluster: Cluster) -> None:
    contender.run(cluster, "manage.py", "migrate", "--verbosity", "0")


def _floor(contender: Contender, cluster: Cluster) -> None:
    cluster.run(contender.database, floor.TABLE)


def _djstripe(contender: Contender, cluster: Cluster) -> None:
    contender.run(cluster, "-m", "benchmarks.webhooks.peers.djstripe_project")


def _peer() -> pathlib.Path:
    return venv.python(folder=FOLDER)


REDRIVE = Contender(
    name="Redrive",
    database="redrive",
    application="config.wsgi:application",
    path="/webhooks/stripe/",
    prepare=_redrive,
    options={
        "DJANGO_SETTINGS_MODULE": "benchmarks.webhooks.peers.redrive",
        "SECRET_KEY": "of the benchmark, fifty characters long, not secret",
        "LEDGER_KEY": "of the benchmark, not secret at all",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DEBUG": "0",
        "REDIS_URL": "",
    },
)
FLOOR = Contender(
    name="raw floor",
    database="floor",
    application="benchmarks.webhooks.peers.floor:application",
    path="/",
    prepare=_floor,
)
DJSTRIPE = Contender(
    name="dj-stripe, its default",
    database="djstripe",
    application="benchmarks.webhooks.peers.djstripe_wsgi:application",
    path=DJSTRIPE_PATH,
    prepare=_djstripe,
    python=_peer,
    options={"DJANGO_SETTINGS_MODULE": "benchmarks.webhooks.peers.djstripe_project"},
)
DJSTRIPE_KEPT = Contender(
    name="dj-stripe, kept connections",
    database="djstripe_kept",
    application=DJSTRIPE.application,
    path=DJSTRIPE.path,
    prepare=_djstripe,
    python=_peer,
    options={**DJSTRIPE.options, "BENCH_CONN_MAX_AGE": "600"},
)
ALL = (REDRIVE, FLOOR, DJSTRIPE, DJSTRIPE_KEPT)
